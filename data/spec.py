"""Data sets of small images: classes, pixel statistics, counts, and official addresses.

Some are built in; others are described by the dataset.json that ``python -m data.prepare folder``
writes beside their images.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

from command import InputError, nearest
from filesystem import is_path, project_folder, write_text

DESCRIPTION = "dataset.json"
DESCRIPTION_FORMAT = 1
SIZES = range(28, 97)  # heights and widths of images in users' own data sets
SIZE = 32  # their default


@dataclass(frozen=True)
class Archive:
    """A file of the official distribution, its size in bytes and its MD5 sum."""

    url: str
    size: int
    md5: str

    @property
    def name(self) -> str:
        """Return the file's name, the last part of its address."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class DatasetSpec:
    """A data set of RGB images, ``size`` x ``size`` pixels.

    ``mean`` and ``std`` are per channel (RGB) over all pixels of the training images, 0 to 255.
    """

    name: str
    class_names: Tuple[str, ...]
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]
    train_count: int
    test_count: int
    archives: Tuple[Archive, ...] = ()  # empty if they cannot be downloaded
    size: int = 32

    @property
    def classes(self) -> int:
        """Return the number of classes; labels are 0 to ``classes - 1``."""
        return len(self.class_names)

    def to_json(self) -> Dict[str, Any]:
        """Return the description of a user's own data set as plain values."""
        return {
            "format": DESCRIPTION_FORMAT,
            "name": self.name,
            "classes": self.class_names,
            "size": self.size,
            "train_count": self.train_count,
            "test_count": self.test_count,
            "mean": self.mean,
            "std": self.std,
        }

    @classmethod
    def from_json(cls, values: Any) -> "DatasetSpec":
        """Return the DatasetSpec that ``to_json`` described.

        Raises:
            ValueError: a value is missing or impossible.
        """
        try:
            if values.get("format", DESCRIPTION_FORMAT) != DESCRIPTION_FORMAT:
                raise ValueError("a later version of the project wrote it")
            spec = cls(
                name=values["name"],
                class_names=tuple(_parse_list(values["classes"])),
                mean=_parse_channels(values["mean"]),
                std=_parse_channels(values["std"]),
                train_count=_parse_whole(values["train_count"]),
                test_count=_parse_whole(values["test_count"]),
                size=_parse_whole(values["size"]),
            )
            problem = _find_problem(spec)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            raise ValueError(problem)
        return spec


@dataclass(frozen=True)
class PhotographSpec:
    """What a run keeps of its data set of photographs."""

    class_names: Tuple[str, ...]  # empty if the data set has none
    shorter_side: int  # to which larger photographs were reduced, in pixels

    def to_json(self) -> Dict[str, Any]:
        """Return the description as plain values."""
        return {"classes": self.class_names, "shorter_side": self.shorter_side}

    @classmethod
    def from_json(cls, values: Any) -> "PhotographSpec":
        """Return the PhotographSpec that ``to_json`` described.

        Raises:
            ValueError: a value is missing or impossible.
        """
        try:
            names, side = _parse_list(values["classes"]), _parse_whole(values["shorter_side"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
        if side < 1 or not all(isinstance(name, str) for name in names):
            raise ValueError(f"impossible: classes {names!r}, shorter_side {side}")
        return cls(tuple(names), side)


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

# The names of the authors' four files, with the addresses of copies that are kept up.
_IDX_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def _idx_spec(
    name: str, class_names: Tuple[str, ...], mean: float, std: float, site: str, *facts: Tuple
) -> DatasetSpec:
    """Return the spec of a data set in four files of grey 28x28 images and their labels.

    Args:
        mean, std: over all pixels of the training images.
        site: the address of the files' folder.
        facts: (size, MD5 sum) of each file.
    """
    archives = [
        Archive(f"{site}{file}-ubyte.gz", size, md5) for file, (size, md5) in zip(_IDX_FILES, facts)
    ]
    return DatasetSpec(
        name, class_names, (mean,) * 3, (std,) * 3, 60_000, 10_000, tuple(archives), size=28
    )


MNIST = _idx_spec(
    "mnist",
    DIGIT_NAMES,
    33.318,
    78.567,
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
    (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
    (4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
)

_CLOTHES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
FASHION_MNIST = _idx_spec(
    "fashion-mnist",
    tuple(_CLOTHES.split(", ")),
    72.940,
    90.021,
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    (29_515, "25c81989df183df01b3e8a0aad5dffbe"),
    (4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
    (5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
)

_SPECS = {spec.name: spec for spec in (MNIST, FASHION_MNIST, CIFAR10, CIFAR100, SVHN, DIGITS)}


def list_datasets() -> Tuple[str, ...]:
    """Return the names of the built-in data sets."""
    return tuple(_SPECS)


def default_folder(name: str) -> Path:
    """Return the default folder of the data set ``name``."""
    return project_folder() / "data" / name


def get_spec(name: str, folder: Union[str, Path, None] = None) -> DatasetSpec:
    """Return the DatasetSpec of a data set.

    Args:
        name: the name of a built-in data set, or of a folder that has a dataset.json.
        folder: folder of the images; None means the default folder.

    Raises:
        InputError: there is no such data set, its description is damaged, or ``folder`` has the
            images of another data set.
    """
    folder = default_folder(name) if folder is None else Path(folder)
    found = read_spec(folder)
    if found is not None and found.name != name:
        raise InputError(
            f"dataset must be {found.name}, not {name}: {folder} has the images of {found.name}",
            argument="dataset",
        )
    if found is not None or name in _SPECS:
        return found or _SPECS[name]
    own = [path.parent.name for path in default_folder("").glob(f"*/{DESCRIPTION}")]
    names = (*sorted(own), *_SPECS)
    raise InputError(
        f"there is no data set {name!r}, and no {folder / DESCRIPTION}: the data sets are "
        f"{', '.join(names)}{nearest(name, names)}; python -m data.prepare folder makes one of "
        "images of your own, and data_dir names its folder if that was moved",
        argument="data_dir",
    )


def locate(dataset: str, folder: Optional[str] = None) -> Tuple[DatasetSpec, Path]:
    """Return the DatasetSpec and the folder of a data set, given its name or its folder.

    Args:
        dataset: a name, or the path of a folder with a dataset.json.
        folder: folder of the images, if it is not the one that ``dataset`` implies.

    Raises:
        InputError: there is no such data set.
    """
    if not is_path(dataset):
        if folder is not None or dataset in _SPECS:
            found = default_folder(dataset) if folder is None else Path(folder)
            return get_spec(dataset, found), found
        found = default_folder(dataset)  # its description has the old name if it was renamed
        return read_spec(found) or get_spec(dataset, found), found
    path = Path(dataset if folder is None else folder).resolve()
    described = read_spec(path)
    return get_spec(Path(dataset).name if described is None else described.name, path), path


def write_spec(spec: DatasetSpec, folder: Union[str, Path]) -> None:
    """Write the description of a user's own data set into ``folder``."""
    text = json.dumps(spec.to_json(), indent=1, ensure_ascii=False) + "\n"
    write_text(Path(folder) / DESCRIPTION, text)


def read_spec(folder: Union[str, Path]) -> Optional[DatasetSpec]:
    """Read the description that ``write_spec`` wrote into ``folder``; None if there is none.

    Raises:
        InputError: the description is damaged.
    """
    path = Path(folder) / DESCRIPTION
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")  # people edit it
        return DatasetSpec.from_json(json.loads(text))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): prepare the data set again") from None


def _find_problem(spec):
    """Return the fault of a description's values, or None."""
    names = spec.class_names
    if not isinstance(spec.name, str) or is_path(spec.name):
        return f"its name is {spec.name!r}"
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        return "its classes are not different names"
    if spec.size not in SIZES:
        return f"its size is {spec.size}, not {SIZES[0]} to {SIZES[-1]}"
    if not all(map(math.isfinite, spec.mean)):
        return "its mean is not finite"
    if not all(0 < std < math.inf for std in spec.std):
        return "its std is not above 0"
    return None


def _parse_list(values):
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{values!r} is not a list")
    return values


def _parse_whole(value):
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _parse_channels(values) -> Tuple[float, float, float]:
    red, green, blue = map(float, _parse_list(values))
    return red, green, blue
