"""Folders of classes as people have them: images are found, all else is counted and named."""

import os

import pytest

from command import InputError
from data import photographs, prepare
from data.class_folders import survey
from data.lists import read_classes
from tests.photo_files import file_of, make_tree, picture

pytestmark = pytest.mark.medium

JPEG = file_of(picture(40, 36))


def put(*path, data=JPEG):
    """Write a file and the folders above it."""
    file = path[0].joinpath(*path[1:])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


@pytest.fixture
def source(tmp_path):
    return make_tree(tmp_path / "source", train=2, val=1)


def paths(found):
    return sorted(photograph.path for photograph in found)


def test_images_below_a_class_are_found(source):
    put(source, "train", "ant", "2019", "may", "2.jpg")
    put(source, "val", "bee", "more", "3")  # a JPEG by its bytes
    names, found, ignored = survey(source)
    assert names == ("ant", "bee")
    assert "train/ant/2019/may/2.jpg" in paths(found["train"])
    assert "val/bee/more/3" in paths(found["val"])
    assert ignored == {"train": {}, "val": {}}


def test_accents_may_be_composed_or_decomposed(source):
    """macOS decomposes the accents of file names; other systems keep them composed."""
    composed, decomposed = "\u00e9", "e\u0301"
    put(source, "train", f"{composed}t{composed}", "1.jpg")
    put(source, "train", f"{decomposed}t{composed}", "2.jpg")
    put(source, "val", f"{decomposed}t{decomposed}", "3.jpg")
    names, found, _ = survey(source)
    assert names == ("ant", "bee", "\u00e9t\u00e9")
    labels = [photo.label for part in ("train", "val") for photo in found[part]]
    assert labels.count(2) == 3


def test_links_are_followed_and_not_in_circles(source, tmp_path):
    put(tmp_path, "elsewhere", "9.jpg")
    (source / "train" / "ant" / "link").symlink_to(tmp_path / "elsewhere")
    (source / "train" / "ant" / "up").symlink_to(source / "train")
    (source / "train" / "ant" / "lost.jpg").symlink_to(tmp_path / "nowhere")
    (source / "train" / "ant" / "itself").symlink_to("itself")
    (source / "train" / "wasp").symlink_to(tmp_path / "elsewhere")
    names, found, ignored = survey(source)
    assert names == ("ant", "bee", "wasp")
    assert {"train/ant/link/9.jpg", "train/wasp/9.jpg"} <= set(paths(found["train"]))
    lost = ["train/ant/itself", "train/ant/lost.jpg"]
    assert ignored["train"]["broken links or special files"] == lost
    assert any("up" in path for path in ignored["train"]["links to a folder that contains them"])


@pytest.mark.parametrize("target", ["..", "../..", "../../.."])
def test_a_link_to_a_folder_above_the_classes_is_not_followed(source, target):
    """Otherwise, the images of all classes would count as ants."""
    (source / "train" / "ant" / "up").symlink_to(target)
    _, found, ignored = survey(source)
    assert not any("up" in path for path in paths(found["train"]))
    assert ignored["train"]["links to a folder that contains them"] == ["train/ant/up"]


def test_what_is_no_class_and_no_image_is_named(source, capsys, tmp_path):
    for folder in ("__MACOSX", "@eaDir", ".cache"):
        put(source, "train", folder, "0.jpg")
        put(source, "val", folder, "0.jpg")
    put(source, "train", "ant", "Thumbs.db")
    put(source, "train", "ant", "._0.jpg")
    put(source, "train", "ant", "boxes.txt", data=b"1 2 3")
    put(source, "train", "beside.jpg")
    argv = ["imagenet", "--source", source, "--out", tmp_path / "out", "--jobs", "1"]
    prepare.main(list(map(str, argv)))
    out = capsys.readouterr().out
    assert read_classes(tmp_path / "out") == ("ant", "bee")
    assert "train: 4 images" in out and "val: 2 images" in out
    assert "ignored hidden or system files (5): train/" in out
    assert "ignored files that are not images (1): train/ant/boxes.txt" in out
    assert "ignored files outside the folders of classes (1): train/beside.jpg" in out
    assert "ignored hidden or system files (3): val/.cache, val/@eaDir, val/__MACOSX" in out


def test_a_class_without_images_is_refused_or_named(source):
    for file in (source / "val" / "bee").iterdir():
        file.unlink()
    assert survey(source)[2]["val"] == {"classes without an image": ["val/bee"]}
    (source / "train" / "wasp" / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match="has no image of 1 of its 3 classes, such as 'wasp'"):
        survey(source)


def test_tiny_imagenet_is_taken_as_it_is_distributed(tmp_path):
    lines = ""
    for label, name in enumerate(("n01443537", "n01629819")):
        for number in range(2):
            put(tmp_path, "train", name, "images", f"{name}_{number}.JPEG")
        put(tmp_path, "train", name, f"{name}_boxes.txt", data=b"n01443537_0.JPEG\t0\t10\t63\t58\n")
        put(tmp_path, "val", "images", f"val_{label}.JPEG")
        lines += f"val_{label}.JPEG\t{name}\t0\t32\t44\t62\n"
    put(tmp_path, "val", "val_annotations.txt", data=lines.encode())
    put(tmp_path, "test", "images", "test_0.JPEG")
    put(tmp_path, "wnids.txt", data=b"n01629819\nn01443537\n")
    names, found, ignored = survey(tmp_path)
    assert names == ("n01443537", "n01629819")
    assert [(p.path, p.label) for p in found["val"]] == [
        ("val/images/val_0.JPEG", 0),
        ("val/images/val_1.JPEG", 1),
    ]
    assert len(found["train"]) == 4
    assert sum(map(len, ignored["train"].values())) == 2


def test_a_file_and_a_class_that_are_not_utf_8_are_packed(source, tmp_path, capsys):
    name = os.fsdecode(b"caf\xe9")
    for part in ("train", "val"):
        put(source, part, name, f"{name}.jpg")
    argv = ["imagenet", "--source", source, "--out", tmp_path / "out", "--jobs", "2"]
    prepare.main(list(map(str, argv)))
    assert read_classes(tmp_path / "out") == ("ant", "bee", name)
    assert b"caf\xe9/caf\xe9.jpg" in (tmp_path / "out" / "val.lst").read_bytes()


def test_a_line_break_in_a_name_spoils_no_list(source, tmp_path):
    put(source, "train", "ant", "a\nb.jpg")
    reports = photographs.prepare(source, tmp_path / "out", size=16, jobs=1)
    assert reports["train"].written == 5
    assert "\t0\ttrain/ant/a b.jpg\n" in (tmp_path / "out" / "train.lst").read_text()
    put(source, "train", "cow\r", "1.jpg")
    with pytest.raises(InputError, match=r"class 'cow\\r' has a line break: rename it"):
        survey(source)
