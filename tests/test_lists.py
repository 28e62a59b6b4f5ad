"""Lists that people write: of classes, and of the class of each file."""

import pytest

from command import InputError
from data.lists import match_labels, read_classes

FILES = ("1.jpg", "2.jpg", "3.jpg")
NAMES = ("apple", "apple golden", "bee")


def match(folder, text, files=FILES, names=NAMES, encoding="utf-8"):
    path = folder / "list"
    path.write_bytes(text.encode(encoding))
    return match_labels(path, files, names)


@pytest.mark.parametrize(
    "text",
    [
        "1.jpg,apple golden\n2.jpg,bee\n3.jpg,apple\n",
        "1.jpg\tapple golden\r\n2.jpg\tbee\r\n3.jpg\tapple\r\n",
        "file;class\n1.jpg;apple golden\n2.jpg;bee\n3.jpg;apple",
        "1.jpg,apple golden,\n,,\n2.jpg,bee,\n3.jpg,apple,\n,,\n",
        '"1.jpg","apple golden"\n"2.jpg","bee"\n"3.jpg","apple"\n',
        '1.jpg "apple golden"\n2.jpg bee\n3.jpg apple\n',
        "1.jpg apple golden\n2.jpg bee\n3.jpg apple\n",
        "image label\n1 apple golden\n\n2 bee\n3 apple\n",
        "1 1\n2 2\n3 0\n",
        "val/1.jpg,apple golden\n./val/2.jpg,bee\nval\\3.jpg,apple\n",
        "1.JPEG,apple golden\n2.JPEG,bee\n3.JPEG,apple\nnone.JPEG,bee\n",
        "1.jpg\tapple golden\t0\t0\t64\t64\n2.jpg\tbee\t1\t1\t2\t2\n3.jpg\tapple\t0\t0\t1\t1\n",
        "ImageId,PredictionString\n1,apple golden\n2,bee 1 2 3 4 bee 5 6 7 8\n3,apple 1 2 3 4\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_read_however_it_is_written(tmp_path, text, encoding):
    assert match(tmp_path, text, encoding=encoding) == [1, 2, 0]


@pytest.mark.parametrize("listed", ["\u00e9", "e\u0301"])
@pytest.mark.parametrize("there", ["\u00e9", "e\u0301"])
def test_accents_may_be_composed_or_decomposed(tmp_path, listed, there):
    assert match(tmp_path, f"{listed}.jpg,{listed}", (f"{there}.jpg",), ("ant", there)) == [1]


def test_a_full_name_comes_before_a_stem(tmp_path):
    files = ("1.jpg", "1.png", "1.png.jpg", "img.001.jpg", "img.002.jpg")
    text = "1.png bee\n1.jpg apple\n1.png.jpg bee\nimg.001 apple\nimg.002 bee\n"
    assert match(tmp_path, text, files) == [0, 2, 2, 0, 2]
    assert match(tmp_path, "a/1.jpg,bee\nb/1.jpg,apple\n", ("b/1.jpg", "a/1.jpg")) == [0, 2]
    assert match(tmp_path, "my photo.jpg,bee\n", ("my photo.jpg",)) == [2]


def test_a_number_is_a_place_only_where_no_class_is_a_number(tmp_path):
    assert match(tmp_path, "1 2\n2 0\n3 1\n") == [2, 0, 1]
    assert match(tmp_path, "1 7\n2 3\n3 5\n", names=("3", "5", "7")) == [2, 0, 1]
    with pytest.raises(InputError, match="line 1 is not a file and its class"):
        match(tmp_path, "1 0\n2 3\n3 5\n", names=("3", "5", "7"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("1.jpg apple green\n2.jpg bee\n3.jpg bee\n", "line 1 is not a file and its class"),
        ("1.jpg,wasp\n", "line 1 .*'wasp'"),
        ("1.jpg,apples\n", "did you mean apple"),
        ("name,class\n1.jpg,wasp\n", "line 2 is not"),
        ("my photo.jpg bee\n1.jpg bee\n2.jpg wasp\n", "need quotes, or commas or tabs"),
        ("1.jpg,bee\n2.jpg,bee\n1.jpg,apple\n3.jpg,bee\n", "line 3 gives 1.jpg another class"),
        ("1.jpg,bee\n2.jpg,bee\n", "does not give the class of 3.jpg"),
        ("", "does not give the class of 1.jpg"),
        ("1.jpg\n", "line 1 is not a file"),
        ('1.jpg,bee\n"2.jpg,bee\n3.jpg,bee\n', "line 2 is not a file and its class"),
        ('"1, a.jpg" wasp\n', "does not give the class of 1.jpg"),
        (f"{'1' * 200_000},bee\n", "line 1 cannot be read: field larger than"),
        ("1.png,bee\n1.gif,apple\n2.jpg,bee\n3.jpg,bee\n", "several lines that may be 1.jpg"),
    ],
)
def test_what_is_no_list_of_these_files_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        match(tmp_path, text)


@pytest.mark.parametrize("files", [("1.jpg", "1.png"), ("a/1.jpg", "b/1.jpg")])
def test_a_line_that_may_be_two_files_is_refused(tmp_path, files):
    with pytest.raises(InputError, match="give full names"):
        match(tmp_path, "1 bee\n", files)


def test_bytes_that_are_no_text_are_refused_or_kept(tmp_path):
    (tmp_path / "list").write_bytes(b"\xff\xfe1")
    with pytest.raises(InputError, match="is not a text file"):
        match_labels(tmp_path / "list", FILES, NAMES)
    (tmp_path / "list").write_bytes(b"1.jpg,caf\xe9\n")
    assert match_labels(tmp_path / "list", ("1.jpg",), ("caf\udce9",)) == [0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_classes_of_any_editor_are_read(tmp_path, encoding, end):
    (tmp_path / "classes.txt").write_bytes(end.join(("ants", "bées", "")).encode(encoding))
    assert read_classes(tmp_path) == ("ants", "bées")
