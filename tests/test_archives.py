"""Official layouts in every shape people have them, and damaged or hostile ones."""

import gzip
import io
import os
import pickle
import struct
import tarfile
from collections import OrderedDict

import numpy as np
import pytest
from scipy.io import savemat

from command import InputError
from data import archives
from data.archives import read_source
from tests.record_files import random_pixels

MAT_73 = b"MATLAB 7.3 MAT-file, HDF5 schema 1.00 .".ljust(124) + b"\0\2IM" + bytes(600)
BATCHES = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]


def rows(count, seed):
    """``count`` images as CIFAR has them, red, green and blue planes in a row: (count, 3072)."""
    return random_pixels(count, seed=seed).transpose(0, 3, 1, 2).reshape(count, 3072)


def labels_of(count, classes, seed):
    return np.random.RandomState(seed).randint(0, classes, count).tolist()


def python2_pickle(batch):
    """``batch`` (bytes to arrays or lists) as Python 2 and the NumPy of 2009 pickled it."""

    def string(text):
        return b"T" + struct.pack("<i", len(text)) + text  # BINSTRING, a str of Python 2

    def value(item):
        if isinstance(item, list):
            return b"](" + b"".join(b"K" + bytes([number]) for number in item) + b"e"
        array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + string(b"b")
        array += b"tR(K\x01(" + b"".join(b"M" + struct.pack("<H", n) for n in item.shape) + b"t"
        array += b"cnumpy\ndtype\n(" + string(b"u1") + b"K\x00K\x01tR(K\x03" + string(b"|")
        array += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + string(item.tobytes())
        return array + b"tb"

    pairs = (string(key) + value(item) for key, item in batch.items())
    return b"\x80\x02}(" + b"".join(pairs) + b"u."


def cifar10_batch(count, seed):
    return {b"data": rows(count, seed), b"labels": labels_of(count, 10, seed)}


def cifar10_python(counts=(4, 3, 5, 2, 6, 4), dump=python2_pickle):
    """File contents by path in the archive."""
    batches = [cifar10_batch(count, seed) for seed, count in enumerate(counts)]
    files = {name: dump(batch) for name, batch in zip(BATCHES, batches)}
    files.update({"batches.meta": b"anything", "readme.html": b"<p>"})
    return {f"cifar-10-batches-py/{name}": content for name, content in files.items()}


def cifar10_binary(counts=(4, 3, 5, 2, 6, 4)):
    files = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}
    for seed, (name, count) in enumerate(zip(BATCHES, counts)):
        labels = np.array(labels_of(count, 10, seed), np.uint8)[:, None]
        content = np.concatenate([labels, rows(count, seed)], 1).tobytes()
        files[f"cifar-10-batches-bin/{name}.bin"] = content
    return files


def cifar100_python(counts=(9, 4)):
    files = {"cifar-100-python/meta": b"anything"}
    for seed, (name, count) in enumerate(zip(("train", "test"), counts)):
        batch = {
            b"data": rows(count, seed),
            b"fine_labels": labels_of(count, 100, seed),
            b"coarse_labels": labels_of(count, 20, seed + 9),
        }
        files[f"cifar-100-python/{name}"] = python2_pickle(batch)
    return files


def cifar100_binary(counts=(9, 4)):
    files = {}
    for seed, (name, count) in enumerate(zip(("train.bin", "test.bin"), counts)):
        coarse = np.array(labels_of(count, 20, seed + 9), np.uint8)[:, None]
        fine = np.array(labels_of(count, 100, seed), np.uint8)[:, None]
        content = np.concatenate([coarse, fine, rows(count, seed)], 1).tobytes()
        files[f"cifar-100-binary/{name}"] = content
    return files


def mat(count, seed, labels=None, **other):
    """A .mat file as SVHN has them."""
    labels = 1 + np.arange(count) % 10 if labels is None else np.array(labels)
    images = random_pixels(count, seed=seed).transpose(1, 2, 3, 0)
    file = io.BytesIO()
    savemat(
        file,
        {"X": images, "y": labels.reshape(-1, 1).astype(np.uint8), **other},
        do_compression=True,
    )
    return file.getvalue()


def svhn(counts=(12, 8, 11)):
    names = ("train_32x32.mat", "extra_32x32.mat", "test_32x32.mat")
    return {name: mat(count, seed) for seed, (name, count) in enumerate(zip(names, counts))}


def write_tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_files(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def refused(dataset, source, partial=False):
    """The one-line message with which ``source`` is refused."""
    with pytest.raises(InputError) as error:
        read_source(dataset, source, partial)
    message = str(error.value)
    assert str(source) in message and "\n" not in message
    return message


SETS = {
    "cifar10-python": ("cifar10", cifar10_python),
    "cifar10-binary": ("cifar10", cifar10_binary),
    "cifar100-python": ("cifar100", cifar100_python),
    "cifar100-binary": ("cifar100", cifar100_binary),
}
SHAPES = {
    "tar.gz": lambda folder, files: write_tar(folder / "anything.tgz", files),
    "tar": lambda folder, files: write_tar(folder / "anything.tar", files, "w"),
    "its folder": lambda folder, files: (
        write_files(folder, files) / os.path.dirname(list(files)[0])
    ),
    "the folder above": write_files,
    "files alone": lambda folder, files: write_files(
        folder, {os.path.basename(name): content for name, content in files.items()}
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", SETS)
def test_cifar_in_every_shape(tmp_path, kind, shape):
    dataset, make = SETS[kind]
    train, test = read_source(dataset, SHAPES[shape](tmp_path, make()))
    classes, counts = (10, [4, 3, 5, 2, 6, 4]) if dataset == "cifar10" else (100, [9, 4])
    assert [len(part) for part in (*train, *test)] == counts
    for seed, part in enumerate((*train, *test)):
        np.testing.assert_array_equal(part.images, random_pixels(len(part), seed=seed))
        assert part.labels.tolist() == labels_of(len(part), classes, seed)


@pytest.mark.parametrize(
    "name", ["cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "cifar-10-python.tgz"]
)
def test_a_folder_with_the_archive_in_it(tmp_path, name):
    files = cifar10_python() if "python" in name else cifar10_binary()
    write_tar(tmp_path / name, files)
    train, test = read_source("cifar10", tmp_path)
    assert sum(map(len, train)) == 20 and sum(map(len, test)) == 4


@pytest.mark.parametrize("change", [dict, OrderedDict])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_newer_pythons(tmp_path, protocol, change):
    files = cifar10_python(dump=lambda batch: pickle.dumps(change(batch), protocol))
    train, _ = read_source("cifar10", write_tar(tmp_path / "a.tar.gz", files))
    np.testing.assert_array_equal(train[1].images, random_pixels(3, seed=1))


def test_pickles_with_text_keys_and_arrays_of_labels(tmp_path):
    def dump(batch):
        return pickle.dumps({"data": batch[b"data"], "labels": np.array(batch[b"labels"])})

    train, _ = read_source("cifar10", write_files(tmp_path, cifar10_python(dump=dump)))
    assert train[2].labels.tolist() == labels_of(5, 10, 2)


@pytest.mark.parametrize("change", [tuple, lambda labels: [np.int64(x) for x in labels]])
@pytest.mark.parametrize("protocol", [2, 4])
def test_labels_as_tuples_and_as_numpy_numbers(tmp_path, change, protocol):
    def dump(batch):
        return pickle.dumps({**batch, b"labels": change(batch[b"labels"])}, protocol)

    train, _ = read_source("cifar10", write_files(tmp_path, cifar10_python(dump=dump)))
    assert train[2].labels.tolist() == labels_of(5, 10, 2)


def test_svhn_with_labels_as_matlab_makes_them(tmp_path):
    files = svhn()
    files["train_32x32.mat"] = mat(3, 0, y=np.array([[1.0], [10.0], [9.0]]))
    train, _ = read_source("svhn", write_files(tmp_path, files))
    assert train[0].labels.tolist() == [1, 0, 9]


def test_one_file_of_svhn_is_answered_with_what_to_name(tmp_path):
    source = write_files(tmp_path, svhn()) / "train_32x32.mat"
    assert "name the folder" in refused("svhn", source)


def test_svhn(tmp_path):
    train, test = read_source("svhn", write_files(tmp_path, svhn()))
    assert [len(part) for part in (*train, *test)] == [12, 8, 11]
    np.testing.assert_array_equal(train[1].images, random_pixels(8, seed=1))
    assert train[0].labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]  # label 10 is digit 0


# What is missing


def test_a_source_that_is_not_there(tmp_path):
    assert "does not exist" in refused("cifar10", tmp_path / "none.tar.gz")


def test_a_source_with_nothing_in_it(tmp_path):
    assert "holds no cifar10: expected data_batch_1" in refused("cifar10", tmp_path)
    assert "holds no svhn" in refused("svhn", tmp_path)
    write_tar(tmp_path / "a.tar.gz", {"readme": b"nothing else"})
    assert "holds no cifar100" in refused("cifar100", tmp_path / "a.tar.gz")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_missing_training_file(tmp_path, shape):
    files = cifar10_python()
    del files["cifar-10-batches-py/data_batch_4"]
    source = SHAPES[shape](tmp_path, files)
    message = refused("cifar10", source)
    assert "lacks data_batch_4" in message and "accept it with partial" in message
    train, test = read_source("cifar10", source, partial=True)
    assert [len(part) for part in (*train, *test)] == [4, 3, 5, 6, 4]


def test_a_missing_test_file_is_never_accepted(tmp_path):
    files = cifar100_binary()
    del files["cifar-100-binary/test.bin"]
    source = write_tar(tmp_path / "a.tar.gz", files)
    message = refused("cifar100", source, partial=True)
    assert "lacks test.bin" in message and "partial" not in message


def test_svhn_without_extra(tmp_path):
    files = svhn()
    del files["extra_32x32.mat"]
    write_files(tmp_path, files)
    message = refused("svhn", tmp_path)
    assert "lacks extra_32x32.mat" in message and "accept it with partial" in message
    train, test = read_source("svhn", tmp_path, partial=True)
    assert (len(train), len(train[0]), len(test[0])) == (1, 12, 11)


@pytest.mark.parametrize(
    "wanted, held, make",
    [
        ("cifar10", "cifar100", cifar100_python),
        ("cifar10", "cifar100", cifar100_binary),
        ("cifar100", "cifar10", cifar10_python),
        ("svhn", "cifar10", cifar10_binary),
        ("cifar10", "svhn", svhn),
    ],
)
def test_another_data_set(tmp_path, wanted, held, make):
    files = make()
    sources = [write_files(tmp_path / "unpacked", files), write_tar(tmp_path / "a.tar.gz", files)]
    for source in sources:
        assert f"holds {held}, not {wanted}" in refused(wanted, source)


def test_a_folder_above_the_files_is_refused(tmp_path):
    write_files(tmp_path / "mine", {name.split("/")[-1]: data for name, data in svhn().items()})
    assert "has files of svhn in a folder below: name that folder" in refused("svhn", tmp_path)


def test_another_data_set_under_the_right_names(tmp_path):
    files = cifar100_python()
    batch = files["cifar-100-python/train"]
    write_files(tmp_path, dict.fromkeys(BATCHES, batch))
    assert "has no 'labels'" in refused("cifar10", tmp_path)
    write_files(tmp_path / "bin", {f"{name}.bin": bytes(3074 * 4) for name in BATCHES})
    assert "12296 bytes, 3073 per image" in refused("cifar10", tmp_path / "bin")


# What is damaged


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:bz2", "w:xz"])
def test_truncated_archives(tmp_path, mode):
    path = write_tar(tmp_path / "a.tar.gz", cifar10_python(), mode)
    whole = path.read_bytes()
    for length in [0, 5, 300, len(whole) // 3, len(whole) * 2 // 3]:
        path.write_bytes(whole[:length])
        message = refused("cifar10", path)
        assert "truncated" in message or "lacks" in message, length


def test_a_gzip_that_lacks_only_its_checksum(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    path.write_bytes(path.read_bytes()[:-8])
    assert "truncated" in refused("cifar10", path)


def test_corrupted_gzip(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    whole = path.read_bytes()
    for place in np.linspace(20, len(whole) - 1, 20).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        refused("cifar10", path)


@pytest.mark.parametrize("content", [b"\x1f\x8b garbage", b"text" * 1000])
def test_files_that_are_no_archives(tmp_path, content):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    assert "not a tar archive" in refused("cifar10", path)
    path.write_bytes(gzip.compress(content * 1000))
    refused("cifar10", path)


@pytest.mark.parametrize(
    "start, words",
    [
        (b"PK\3\4", "is a zip archive: unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it"),
        (b"Rar!\x1a\7", "is a rar archive: unpack it"),
        (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it"),
    ],
)
def test_other_archives_are_answered_with_what_to_do(tmp_path, start, words):
    """Kaggle distributes zip archives; to download one again does not help."""
    path = tmp_path / "cifar-10.zip"
    path.write_bytes(start + bytes(200))
    assert words in refused("cifar10", path)


@pytest.mark.parametrize("drop", [1, 100, 3073, 3074])
def test_truncated_binary_files(tmp_path, drop):
    files = cifar10_binary()
    name = "cifar-10-batches-bin/data_batch_3.bin"
    files[name] = files[name][:-drop]
    source = write_files(tmp_path, files)
    if drop == 3073:  # a whole image: only the count, which is looked at later, tells
        assert len(read_source("cifar10", source)[0][2]) == 4
    else:
        assert "data_batch_3.bin is truncated" in refused("cifar10", tmp_path)


def test_truncated_pickles(tmp_path):
    files = cifar10_python()
    name = "cifar-10-batches-py/data_batch_2"
    content = files[name]
    for length in range(0, len(content), 331):
        files[name] = content[:length]
        write_files(tmp_path, files)
        assert "data_batch_2 is not one of CIFAR's pickles" in refused("cifar10", tmp_path)


def with_batch(tmp_path, batch):
    """A source whose third file is ``batch``."""
    files = cifar10_python()
    files["cifar-10-batches-py/data_batch_3"] = (
        batch if isinstance(batch, bytes) else pickle.dumps(batch, 2)
    )
    return write_tar(tmp_path / "a.tar.gz", files)


@pytest.mark.parametrize(
    "batch, reason",
    [
        ({b"data": rows(4, 0), b"labels": [1, 2, 3]}, "4 images and 3 labels"),
        ({b"data": rows(4, 0), b"labels": [1, 2, 3, 10]}, "label 10, outside 0 to 9"),
        ({b"data": rows(4, 0), b"labels": [1, 2, 3, -1]}, "label -1, outside 0 to 9"),
        ({b"data": rows(2, 0), b"labels": [1, 1 << 70]}, "not a list of whole numbers"),
        ({b"data": rows(2, 0), b"labels": [1, "cat"]}, "not a list of whole numbers"),
        ({b"data": rows(2, 0), b"labels": [1, 1.5]}, "not a list of whole numbers"),
        ({b"data": rows(2, 0), b"labels": 7}, "not a list of whole numbers"),
        ({b"data": rows(2, 0)[:, :100], b"labels": [1, 2]}, "not rows of 3072 bytes"),
        ({b"data": rows(2, 0).astype(np.int32), b"labels": [1, 2]}, "not rows of 3072 bytes"),
        ({b"data": b"bytes", b"labels": [1, 2]}, "not rows of 3072 bytes"),
        ({b"data": rows(2, 0)}, "no 'labels'"),
        ({b"labels": [1, 2]}, "no 'data'"),
        ([1, 2, 3], "not one of CIFAR's pickles"),
        ({b"data": rows(2, 0).astype(float), b"labels": [1, 2]}, "an array of f8"),
        ({b"data": np.array([{}, []], object), b"labels": [1, 2]}, "an array of O8"),
    ],
)
def test_wrong_contents(tmp_path, batch, reason):
    message = refused("cifar10", with_batch(tmp_path, batch))
    assert "data_batch_3" in message and reason in message


@pytest.mark.parametrize("count", [0, 99])
def test_labels_out_of_range_in_binary_files(tmp_path, count):
    files = cifar100_binary()
    content = bytearray(files["cifar-100-binary/test.bin"])
    content[1] = 100  # the fine label; the coarse one, content[0], is not looked at
    files["cifar-100-binary/test.bin"] = bytes(content)
    write_files(tmp_path, files)
    assert "label 100, outside 0 to 99" in refused("cifar100", tmp_path)


@pytest.mark.parametrize(
    "content, reason",
    [
        (lambda: b"no matlab", "not a complete .mat file"),
        (lambda: b"", "not a complete .mat file"),
        (lambda: mat(9, 0)[:-100], "not a complete .mat file"),
        (lambda: mat(9, 0)[:400], "not a complete .mat file"),
        (lambda: mat(9, 0)[:600] + b"damage" + mat(9, 0)[606:], "not a complete .mat file"),
        (lambda: mat(3, 0, [1, 2, 11]), "label 11, outside 1 to 10"),
        (lambda: mat(3, 0, [1, 2, 0]), "label 0, outside 1 to 10"),
        (lambda: mat(3, 0, [1, 2]), "3 images and 2 labels"),
        (lambda: mat(3, 0, X=np.zeros((32, 32, 3, 3))), "X is float64"),
        (lambda: mat(3, 0, X=np.zeros((16, 32, 3, 3), np.uint8)), "X is uint8 (16, 32, 3, 3)"),
        (lambda: mat(3, 0, y=np.full((3, 1), np.nan)), "y is float64"),
        (lambda: b"\x89HDF\r\n\x1a\n" + bytes(600), "not a complete .mat file"),
        (lambda: MAT_73, "version 7.3: save it with version 7"),
    ],
)
def test_bad_mat_files(tmp_path, content, reason):
    files = svhn()
    files["extra_32x32.mat"] = content()
    write_files(tmp_path, files)
    message = refused("svhn", tmp_path)
    assert "extra_32x32.mat" in message and reason in message


def test_a_mat_file_without_images(tmp_path):
    files = svhn()
    file = io.BytesIO()
    savemat(file, {"y": np.ones((3, 1))})
    files["test_32x32.mat"] = file.getvalue()
    write_files(tmp_path, files)
    assert "test_32x32.mat has no X or no y" in refused("svhn", tmp_path)


# What is hostile


class Attack:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "attack",
    [
        lambda mark: Attack(os.mkdir, mark),
        lambda mark: Attack(eval, f"__import__('os').mkdir({mark!r})"),
        lambda mark: Attack(getattr, "text", "upper"),
        lambda mark: Attack(np.load, mark),
        lambda mark: Attack(bytearray, 1 << 40),
    ],
)
def test_pickles_that_call_functions(tmp_path, attack, protocol):
    mark = str(tmp_path / "was here")
    batch = {b"data": rows(2, 0), b"labels": attack(mark)}
    message = refused("cifar10", with_batch(tmp_path, pickle.dumps(batch, protocol)))
    assert "it asks for" in message
    assert not os.path.exists(mark)


def hand_made_array(code, shape, data):
    """A pickle of an array with the given dtype code, shape and bytes."""
    return {b"labels": [1], b"data": Attack(*_array_call(code, shape, data))}


def _array_call(code, shape, data):
    return np.core.numeric._frombuffer, data, FakeDtype(code), shape, "C"


class FakeDtype:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return np.dtype, (self.code, False, True)


@pytest.mark.parametrize(
    "code, shape, data",
    [
        ("O", (1,), b"\x41" * 8),  # bytes that would be taken for an address
        ("V8", (1,), b"\x41" * 8),
        ("u1", (1, 3072), b"too few"),
        ("u1", (-1, 3072, -1), bytes(3072)),
        ("u1", (1 << 40, 3072), bytes(3072)),
        ("u1", "shape", bytes(3072)),
        ("u1", (1, 3072), [1, 2, 3]),
        ("u1,O", (1,), b"\x41" * 9),
    ],
)
def test_arrays_that_lie(tmp_path, code, shape, data):
    source = with_batch(tmp_path, hand_made_array(code, shape, data))
    assert "data_batch_3 is not one of CIFAR's pickles" in refused("cifar10", source)


def test_stand_ins_cannot_be_tampered_with(tmp_path):
    for content in (
        b"cnumpy\nndarray\n}b.",  # sets the state of a class
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00rottR.",
        b"cnumpy\ndtype\n(tR.",
        b"\x80\x02}q\x00(U\x04dataq\x01cnumpy\nndarray\n)\x81u.",
    ):
        refused("cifar10", with_batch(tmp_path, content))


def test_links_and_devices_are_refused_and_folders_passed_over(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(cifar10_python()["cifar-10-batches-py/data_batch_1"])
    for kind in (
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.DIRTYPE,
    ):
        files = cifar10_python()
        del files["cifar-10-batches-py/data_batch_1"]
        path = write_tar(tmp_path / "a.tar", files, "w")
        with tarfile.open(path, "a") as archive:
            member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
            member.type, member.linkname = kind, str(secret)
            archive.addfile(member)
        expected = "lacks data_batch_1" if kind == tarfile.DIRTYPE else "is a link or a device"
        assert expected in refused("cifar10", path)


@pytest.mark.parametrize("name", ["../readme", "/tmp/readme", "a/../../readme", ".."])
def test_paths_that_lead_out_are_refused_and_write_nothing(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    path = write_tar(inside / "a.tar.gz", {name: b"", **cifar10_python()})
    assert "leads out of the archive" in refused("cifar10", path)
    assert os.listdir(tmp_path) == ["inside"] and os.listdir(inside) == ["a.tar.gz"]


def bomb_of_members(archive):
    for number in range(5):
        member = tarfile.TarInfo(f"zeros{number}")
        member.size = 1 << 20
        archive.addfile(member, io.BytesIO(bytes(member.size)))


def bomb_in_a_header(archive):
    """A name of four million bytes, which tarfile would read into memory before anything else."""
    archive.addfile(tarfile.TarInfo("x" * (4 << 20)))


def bomb_at_the_end(archive):
    archive.fileobj.write(bytes(4 << 20))


@pytest.mark.parametrize("bomb", [bomb_of_members, bomb_in_a_header, bomb_at_the_end])
@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_archives_that_never_stop_are_refused(tmp_path, monkeypatch, mode, bomb):
    monkeypatch.setattr(archives, "TAR_LIMIT", 3 << 20)
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, mode) as archive:
        bomb(archive)
    assert path.stat().st_size < 1 << 16
    assert "holds too many bytes" in refused("cifar10", path)


def test_a_mat_file_that_announces_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAT_LIMIT", 30_000)
    write_files(tmp_path, svhn())
    assert "larger than in the data set" in refused("svhn", tmp_path)


def test_a_file_that_is_there_twice(tmp_path):
    files = cifar10_python()
    files["elsewhere/data_batch_2"] = files["cifar-10-batches-py/data_batch_2"]
    assert "occurs twice" in refused("cifar10", write_tar(tmp_path / "a.tar.gz", files))


def test_files_larger_than_any_of_the_set(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FILE_LIMIT", 20_000)
    write_files(tmp_path, cifar10_binary())
    assert len(read_source("cifar10", tmp_path)[0]) == 5
    monkeypatch.setattr(archives, "FILE_LIMIT", 10_000)
    assert "larger than any file of the data set" in refused("cifar10", tmp_path)
    path = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    assert "unpack it, and name the folder" in refused("cifar10", path)
