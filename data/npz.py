"""Read images and labels of users from .npz files of arrays."""

import zipfile
import zlib
from collections import Counter

import numpy as np
from PIL import Image

from command import InputError, nearest
from data.archives import Part
from data.images import fit, to_rgb
from data.spec import SIZE, SIZES

# Names of arrays: training images and labels and, if there are any, test images and labels.
ARRAYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels"),
    ("x", "y"),
)
CLASS_NAMES = ("class_names", "classes")
_NPZ_ERRORS = (
    OSError,
    ValueError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # an encrypted file, or an unknown compression
    MemoryError,  # a damaged header may announce any size
    OverflowError,
)


def read_npz(source, size=None):
    """Return images and labels of the .npz file ``source``, which has arrays named as in ARRAYS.

    Args:
        size: height and width that images are made, see data.images.fit; None means their own if it
            is one of data.spec.SIZES, or else SIZE.

    Returns:
        (names of the classes, the training Part, the test Part or None, names of unused arrays).

    Raises:
        InputError: the file is damaged, lacks arrays, or has unusable ones.
    """
    keys, arrays, others = _read_arrays(source)
    if not keys:
        known = "; ".join(" and ".join(names[:2]) for names in ARRAYS)
        raise InputError(
            f"{source} has arrays {', '.join(sorted((*arrays, *others))) or 'none'}, not images "
            f"and labels ({known})"
        )
    images = _check_images(source, keys[0], arrays[keys[0]])
    if size is None:
        height, width = images.shape[1:3]
        size = height if height == width and height in SIZES else SIZE
    names, labels = _check_labels(source, keys[1], arrays)
    train, test = _make_part(source, images, labels, size), None
    missing = [key for key in keys[2:] if key not in arrays]
    if len(missing) == 1:
        (there,) = set(keys[2:]) - set(missing)
        raise InputError(f"{source} has {there}, but not {missing[0]}: add it, or leave both out")
    if keys[2:] and not missing:
        images = _check_images(source, keys[2], arrays[keys[2]])
        _, labels = _check_labels(source, keys[3], arrays, names)
        test = _make_part(source, images, labels, size)
    return names, train, test, others


def _read_arrays(source):
    """Read images, labels and names of classes from an .npz file.

    Returns:
        (the names from ARRAYS that it has, {name: array}, the names of the other arrays).
    """
    try:
        with zipfile.ZipFile(source) as file:
            names = [name[:-4] for name in file.namelist() if name.endswith(".npy")]
            keys = next((keys for keys in ARRAYS if set(keys[:2]) <= set(names)), ())
            used = [name for name in names if name in (*keys, *CLASS_NAMES)]
            arrays = {name: _read_array(file, name) for name in used}
    except _NPZ_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{source} is not an .npz file of arrays ({reason})") from None
    return keys, arrays, [name for name in names if name not in used]


def _read_array(file, name):
    """Return an array of an open .npz file; one of Python objects is a ValueError."""
    with file.open(f"{name}.npy") as member:
        try:
            return np.lib.format.read_array(member)
        except ValueError as error:
            reason = str(error)
            if "Object arrays" in reason:
                reason = "it has Python objects: save it as numbers or text, as with astype(str)"
            raise ValueError(f"{name}: {reason}") from None


def _make_part(source, images, labels, size):
    if len(images) != len(labels):
        raise InputError(f"{source} has {len(images)} images and {len(labels)} labels")
    pixels = [fit(to_rgb(Image.fromarray(image)), size) for image in images]
    return Part(np.array(pixels, np.uint8).reshape(-1, size, size, 3), labels)


def _check_images(source, name, images):
    """Check images (N, height, width) or (N, height, width, channels); return them contiguous."""
    if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[3] not in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.dtype == bool:
        images = images.astype(np.uint8) * 255
    if images.dtype == np.uint16:
        if images.size and images.max() < 1 << 15:  # values of 8, 10, 12 or 14 bits
            raise InputError(
                f"{source}: {name} is uint16, but no value is above {images.max()}: scale the "
                "values to 0 to 65535, or to 0 to 255 as uint8"
            )
        images = (images >> 8).astype(np.uint8)
    colours = images.ndim == 4 and images.shape[3] in (3, 4)
    if images.dtype != np.uint8 or not (images.ndim == 3 or colours) or 0 in images.shape:
        raise InputError(
            f"{source}: {name} is {images.dtype} {images.shape}; images must be uint8 (0 to 255) "
            "of shape (N, height, width) or (N, height, width, channels) with 1, 3 or 4 channels"
        )
    return np.ascontiguousarray(images)


def _check_labels(source, name, arrays, names=None):
    """Return the names of the classes, given or found, and the labels, int64 (N,)."""
    labels = arrays[name]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    labels = _decode(source, name, labels)
    if names is None:
        names = _read_names(source, arrays)
    if labels.ndim == 1 and labels.dtype.kind == "U":
        names = tuple(map(str, np.unique(labels))) if names is None else names
        numbers = {each: number for number, each in enumerate(names)}
        unknown = [str(label) for label in labels if str(label) not in numbers]
        if unknown:
            raise InputError(
                f"{source}: {name} has {unknown[0]!r}, which is not a class"
                f"{nearest(unknown[0], names)}"
            )
        labels = np.array([numbers[str(label)] for label in labels], np.int64)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise InputError(
            f"{source}: {name} is {labels.dtype} {labels.shape}, not whole numbers (N,)"
        )
    if labels.min() == 1 and (names is None or labels.max() == len(names)):
        raise InputError(
            f"{source}: {name} counts the classes from 1: subtract 1, because labels must count "
            "from 0"
        )
    if names is None:
        names = _number_classes(source, name, labels)
    if not all(map(str.strip, names)):
        raise InputError(f"{source}: a class has an empty name: give every image a label")
    if labels.min() < 0 or labels.max() >= len(names):
        raise InputError(f"{source}: {name} has labels outside 0 to {len(names) - 1}")
    return names, labels.astype(np.int64)


def _number_classes(source, name, labels):
    """Return the names of classes that have only numbers."""
    highest = int(labels.max())
    if highest >= len(labels):
        raise InputError(
            f"{source}: {name} has {highest} among {len(labels)} labels: labels must count the "
            "classes from 0, and each class needs an image"
        )
    return tuple(map(str, range(highest + 1)))


def _read_names(source, arrays):
    """Return the names of the classes in an .npz file, or None if it has none."""
    key = next((key for key in CLASS_NAMES if key in arrays), None)
    if key is None:
        return None
    named = _decode(source, key, arrays[key])
    if named.ndim != 1:
        raise InputError(f"{source}: {key} has the shape {named.shape}; it must be a list of names")
    names = tuple(map(str, named))
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InputError(f"{source}: {key} has {repeated[0]!r} more than once")
    return names


def _decode(source, name, array):
    """Return an array of bytes as one of text, and others unchanged."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{source}: {name} has bytes that are not UTF-8") from None
