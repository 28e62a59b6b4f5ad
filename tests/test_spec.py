"""The data sets' values."""

import re

import numpy as np
import pytest

from command import InputError
from data import prepare_dataset as prepare
from data.records import load
from data.spec import get_spec, list_datasets


@pytest.mark.parametrize("name", list_datasets())
def test_a_spec_is_consistent(name):
    spec = get_spec(name)
    assert spec.name == name
    assert spec.classes == len(set(spec.class_names))
    assert len(spec.mean) == len(spec.std) == 3
    assert all(0 < mean < 255 for mean in spec.mean) and all(0 < std < 128 for std in spec.std)
    for archive in spec.archives:
        assert re.fullmatch("[0-9a-f]{32}", archive.md5)
        assert archive.url.endswith("/" + archive.name)


def test_official_counts():
    counts = {
        name: (get_spec(name).train_count, get_spec(name).test_count) for name in list_datasets()
    }
    assert counts["cifar10"] == counts["cifar100"] == (50_000, 10_000)
    assert counts["svhn"] == (604_388, 26_032)
    assert sum(counts["digits"]) == 1797
    assert counts["mnist"] == counts["fashion-mnist"] == (60_000, 10_000)
    classes = {name: get_spec(name).classes for name in list_datasets()}
    assert [classes[name] for name in ("cifar10", "cifar100", "svhn", "digits")] == [
        10,
        100,
        10,
        10,
    ]
    assert classes["mnist"] == classes["fashion-mnist"] == 10


def test_class_names_are_in_official_order():
    names = get_spec("cifar100").class_names
    assert list(names) == sorted(names)
    assert (names[0], names[99]) == ("apple", "worm")
    assert get_spec("cifar10").class_names[3] == "cat"
    assert get_spec("svhn").class_names[0] == "0"


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(InputError, match="cifar10, cifar100, svhn, digits; did you mean cifar10"):
        get_spec("cifar-10")


def test_digits_statistics_are_those_of_its_training_images(tmp_path):
    prepare("digits", out=tmp_path)
    pixels = load(tmp_path / "train.rec", 10).pixels.astype(np.float64)
    spec = get_spec("digits")
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), spec.mean, atol=0.001)
    np.testing.assert_allclose(pixels.std((0, 2, 3)), spec.std, atol=0.001)
