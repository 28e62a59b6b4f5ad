"""The files of MNIST and Fashion-MNIST, as the official site or torchvision has them."""

import gzip
import struct
from dataclasses import replace

import numpy as np
import pytest

from command import InputError
from data import packing
from data import prepare_dataset as prepare
from data.idx import read_idx_source
from data.records import load
from data.spec import get_spec

RNG = np.random.RandomState(0)
IMAGES = {"train": RNG.randint(0, 256, (12, 28, 28), np.uint8)}
IMAGES["t10k"] = RNG.randint(0, 256, (5, 28, 28), np.uint8)
LABELS = {name: np.arange(len(images), dtype=np.uint8) % 10 for name, images in IMAGES.items()}


def idx(array):
    return (
        bytes((0, 0, 8, array.ndim))
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def write(folder, packed=False, dot="-"):
    folder.mkdir(parents=True)
    for name in IMAGES:
        for kind, array in (("images", IMAGES[name]), ("labels", LABELS[name])):
            file = folder / f"{name}-{kind}{dot}idx{array.ndim}-ubyte"
            if packed:
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(idx(array)))
            else:
                file.write_bytes(idx(array))
    return folder


@pytest.mark.parametrize("below", [".", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dot", "-.")
def test_grey_becomes_rgb_of_its_size(tmp_path, below, packed, dot):
    write(tmp_path / "in" / below, packed, dot)
    for parts, name in zip(read_idx_source("mnist", tmp_path / "in"), IMAGES):
        (part,) = parts
        assert part.images.shape == (*IMAGES[name].shape, 3)
        assert (part.images == IMAGES[name][..., None]).all()
        assert part.labels.tolist() == LABELS[name].tolist()


@pytest.mark.parametrize("packed", [True, False])
def test_names_need_not_tell_whether_files_are_packed(tmp_path, packed):
    """Browsers unpack a file and keep its name, or leave out the .gz."""
    for file in write(tmp_path / "in", packed).iterdir():
        file.rename(file.with_suffix("") if packed else file.with_name(f"{file.name}.gz"))
    for (part,), name in zip(read_idx_source("mnist", tmp_path / "in"), IMAGES):
        assert (part.images == IMAGES[name][..., None]).all()


def test_each_data_set_has_its_own_folder(tmp_path):
    """Where torchvision has downloaded both, and where one of Fashion-MNIST's files is missing."""
    write(tmp_path / "MNIST/raw")
    fashion = write(tmp_path / "FashionMNIST/raw")
    (fashion / "train-labels-idx1-ubyte").write_bytes(idx(9 - LABELS["train"]))
    for dataset, labels in (("mnist", LABELS["train"]), ("fashion-mnist", 9 - LABELS["train"])):
        (train,), _ = read_idx_source(dataset, tmp_path)
        assert train.labels.tolist() == labels.tolist()
    (fashion / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="FashionMNIST/raw has neither train-labels-idx1-ubyte"):
        read_idx_source("fashion-mnist", tmp_path)


def test_another_data_set_of_the_same_names_is_refused(tmp_path, monkeypatch):
    mean = float(IMAGES["train"].mean())
    specs = {
        "mnist": replace(get_spec("mnist"), train_count=12, test_count=5, mean=(mean,) * 3),
        "fashion-mnist": replace(get_spec("fashion-mnist"), train_count=12, test_count=5),
    }
    monkeypatch.setattr(packing, "get_spec", specs.get)
    source = write(tmp_path / "in")
    assert prepare("mnist", source, tmp_path / "out") == (12, 5)
    with pytest.raises(InputError, match="does not hold fashion-mnist: the mean of its pixels is"):
        prepare("fashion-mnist", source, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_a_part_of_it_is_prepared(tmp_path, dataset):
    source = write(tmp_path / "in", packed=True)
    assert prepare(dataset, source, tmp_path / "out", partial=True) == (12, 5)
    test = load(tmp_path / "out" / "test.rec", 10, 28)
    assert (test.pixels == IMAGES["t10k"][:, None]).all()
    assert test.labels.tolist() == LABELS["t10k"].tolist()
    with pytest.raises(InputError, match="12 training and 5 test images, but"):
        prepare(dataset, source, tmp_path / "other")


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("train-images-idx3-ubyte", None, "has neither train-images-idx3-ubyte"),
        ("train-images-idx3-ubyte", b"", "not a complete idx file"),
        ("train-images-idx3-ubyte", idx(IMAGES["train"])[:-1], "9407 bytes, but"),
        ("train-images-idx3-ubyte", idx(IMAGES["train"][:3]), "12 labels for 3 images"),
        ("t10k-images-idx3-ubyte", idx(IMAGES["t10k"][:, :20]), "has images of"),
        ("t10k-labels-idx1-ubyte", idx(LABELS["t10k"] + 7), "label 11, outside 0 to 9"),
        ("t10k-labels-idx1-ubyte", idx(IMAGES["t10k"]), "its first bytes are wrong"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path, file, content, message):
    source = write(tmp_path / "in")
    if content is None:
        (source / file).unlink()
    else:
        (source / file).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx_source("mnist", source)


def test_a_packed_file_that_is_cut_short_is_refused(tmp_path):
    source = write(tmp_path / "in", packed=True)
    file = source / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a complete idx file"):
        read_idx_source("mnist", source)
