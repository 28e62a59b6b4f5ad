"""Small photographs for tests."""

import io

import numpy as np
from PIL import Image

from tests.record_files import write_rec


def picture(width, height, seed=0, mode="RGB"):
    """A smooth image that JPEG keeps nearly as it is."""
    rng = np.random.RandomState(seed)
    few = Image.fromarray(rng.randint(0, 256, (4, 5, 3), np.uint8))
    return few.resize((width, height), Image.BICUBIC).convert(mode)


def file_of(image, kind="JPEG", **options):
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_tree(folder, train=10, val=6, classes=("ant", "bee")):
    """``folder``/train and val/CLASS/FILE, so many images a class; the folder."""
    for part, count in (("train", train), ("val", val)):
        for label, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                image = picture(40 + number, 36, seed=100 * label + number)
                (folder / part / name / f"{number}.jpg").write_bytes(file_of(image))
    return folder


def write_photographs(folder, train=53, val=21, classes=2):
    """train.rec and val.rec with labels by turns, and classes.txt; the folder."""
    folder.mkdir(exist_ok=True)
    for name, count in (("train.rec", train), ("val.rec", val)):
        images = [file_of(picture(44 + i % 5, 40, seed=i)) for i in range(count)]
        write_rec(folder / name, [i % classes for i in range(count)], images)
    (folder / "classes.txt").write_text("".join(f"class{i}\n" for i in range(classes)))
    return folder
