"""The data sets of 32x32 images: their classes, pixel statistics, sizes and official addresses."""

from dataclasses import dataclass
from typing import Tuple

from command import InputError, nearest


@dataclass(frozen=True)
class Archive:
    """A file of the official distribution, its size in bytes and its MD5 sum."""

    url: str
    size: int
    md5: str

    @property
    def name(self):
        """The file's name, the last part of its address."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class DatasetSpec:
    """A data set of 32x32 RGB images; ``mean`` and ``std`` are per channel (RGB), 0 to 255."""

    name: str
    class_names: Tuple[str, ...]
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]
    train_count: int
    test_count: int
    archives: Tuple[Archive, ...] = ()  # none: the images come with a Python package

    @property
    def classes(self):
        """The number of classes; labels are 0 to ``classes - 1``."""
        return len(self.class_names)


_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""

DIGIT_NAMES = tuple("0123456789")

CIFAR10 = DatasetSpec(
    name="cifar10",
    class_names=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    mean=(125.307, 122.950, 113.865),
    std=(62.993, 62.089, 66.705),
    train_count=50_000,
    test_count=10_000,
    archives=(
        Archive(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            170_498_071,
            "c58f30108f718f92721af3b95e74349a",
        ),
    ),
)

CIFAR100 = DatasetSpec(
    name="cifar100",
    class_names=tuple(_CIFAR100_NAMES.split()),
    mean=(129.304, 124.070, 112.434),
    std=(68.170, 65.392, 70.418),
    train_count=50_000,
    test_count=10_000,
    archives=(
        Archive(
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            169_001_437,
            "eb9058c3a382ffc7106e4002c42a8d85",
        ),
    ),
)

SVHN = DatasetSpec(
    name="svhn",
    class_names=DIGIT_NAMES,
    mean=(111.609, 113.161, 120.565),
    std=(50.498, 51.259, 50.244),
    train_count=73_257 + 531_131,  # train and extra
    test_count=26_032,
    archives=(
        Archive(
            "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
            182_040_794,
            "e26dedcc434d2e4c54c9b2d4a06d8373",
        ),
        Archive(
            "http://ufldl.stanford.edu/housenumbers/extra_32x32.mat",
            1_329_278_602,
            "a93ce644f1a588dc4d68dda5feec44a7",
        ),
        Archive(
            "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
            64_275_384,
            "eb5a983be6a315427106f1b164d9cef3",
        ),
    ),
)

# Scikit-learn's copy of the UCI handwritten digits, grey, enlarged from 8x8. The mean and standard
# deviation are over all pixels of train.rec as `python -m data.prepare digits` writes it.
DIGITS = DatasetSpec(
    name="digits",
    class_names=DIGIT_NAMES,
    mean=(50.962, 50.962, 50.962),
    std=(79.342, 79.342, 79.342),
    train_count=1_437,
    test_count=360,
)

_SPECS = {spec.name: spec for spec in (CIFAR10, CIFAR100, SVHN, DIGITS)}


def list_datasets():
    """The names ``get_spec`` knows."""
    return tuple(_SPECS)


def get_spec(name):
    """The DatasetSpec called ``name``; an InputError that lists the names if there is none."""
    if name not in _SPECS:
        raise InputError(
            f"there is no data set {name!r}: the data sets are {', '.join(_SPECS)}"
            + nearest(name, _SPECS)
        )
    return _SPECS[name]
