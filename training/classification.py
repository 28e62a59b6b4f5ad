"""Classify pictures of any size with the network of a run, or with exported files."""

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

import mxnet as mx
import numpy as np

from command import InputError, last_line
from data.photographs import SIZE
from data.sources import Photographs, SmallImages
from data.spec import DatasetSpec
from filesystem import hash_file, plain_path
from network import features
from network.exporter import to_pixels
from network.registry import require_columns
from training.early_exit import answer_early
from training.evaluation import restore
from training.exporting import EXPORT_FORMATS, require_packages
from training.metrics import probabilities, require_finite
from training.serialization import ENCODING, parse_object

PARAMETERS = ".safetensors"  # file of parameters for other programs, which may change it


class Answer(NamedTuple):
    """The result of early exit for a picture."""

    logits: np.ndarray
    network: str  # the network that classified it, such as "column 0", or "whole"


@dataclass(frozen=True)
class Classifier:
    """Functions that read a picture and compute logits, or features, of a batch."""

    read: Callable[[Union[str, Path]], np.ndarray]  # path of a picture -> (3, height, width)
    # (batch, 3, height, width) -> (batch, numbers); with early exit, an Answer for each picture
    predict: Callable[[np.ndarray], Any]
    names: List[str]  # names of the classes, or their numbers if there are no names
    names_problem: str = ""  # why there are only numbers


def load_run(
    source: Union[str, Path],
    gpus: Optional[str] = None,
    epoch: Optional[int] = None,
    embed: bool = False,
    early_exit: Optional[float] = None,
    columns_only: bool = False,
    data_dir: Optional[str] = None,
) -> Classifier:
    """Return the Classifier of a run or of a pretrained network.

    It computes in float32 whatever the run's data type, which this machine may not support.

    Args:
        source: the run's folder, or the pretrained network's name.
        gpus, epoch: see ``training.evaluation.restore``.
        embed: whether ``predict`` returns features, the input of the dense layer, instead of
            logits.
        early_exit: the confidence from which a column of a FractalNet classifies an image,
            shallowest first; the whole network classifies the rest. None uses only the whole
            network.
        columns_only: whether the deepest column, with ``early_exit``, classifies the rest.
        data_dir: folder of the images and of the classes' names; None means the run's.

    Raises:
        InputError: there is no such run or checkpoint, or ``early_exit`` is given and the network
            has no columns.
    """
    trained = restore(source, gpus, epoch, dtype="float32", data_dir=data_dir)
    data, engine = trained.data, trained.engine

    def predict(images: np.ndarray) -> np.ndarray:
        return engine.to_numpy(engine.predict(images))

    do: Callable[[np.ndarray], Any] = predict
    if embed:
        do = _make_embedding(engine)
    elif early_exit is not None:
        do = _make_early_exit(trained, early_exit, columns_only)
    return Classifier(data.source.picture, do, data.shown_names, data.names_problem)


def _make_embedding(engine):
    """Return a function: images -> features."""
    net = features(engine.network())
    net.hybridize()
    return lambda images: net(mx.nd.array(images, ctx=engine.devices[0])).asnumpy()


def _make_early_exit(trained, threshold, columns_only):
    """Return a function: images -> an Answer for each."""
    engine = trained.engine
    if not threshold >= 0:
        raise InputError(f"early_exit must be at least 0, not {threshold}", argument="early_exit")
    require_columns(trained.run.network, "early_exit")
    trained.prepare_subnetworks()
    chain = [*range(engine.num_subnetworks), *([] if columns_only else [None])]
    names = ["whole" if index is None else f"column {index}" for index in chain]

    def predict(images: np.ndarray) -> List[Answer]:
        def ask(index, rows):
            logits = engine.to_numpy(engine.predict(images[rows], index))
            return logits, probabilities(logits).max(axis=1)

        found, answered = answer_early(ask, len(images), chain, threshold)
        return [Answer(logits, names[position]) for logits, position in zip(found, answered)]

    return predict


def load_exported(path: Union[str, Path]) -> Classifier:
    """Return the Classifier of files that export.py wrote.

    Args:
        path: path of one of them; their description must be in the same folder.

    Raises:
        InputError: there are no such files, or they are damaged.
    """
    kind, stem = _find_format(path)
    described = _read_description(Path(f"{stem}.{kind}.json"))
    files = [f"{stem}{ending}" for ending in EXPORT_FORMATS[kind].endings if ending != PARAMETERS]
    for name in (path, *files):
        if not Path(name).is_file():
            raise InputError(f"there is no file {name}")
    require_packages(kind, EXPORT_FORMATS[kind].runs_with)
    try:
        classes, size, names, mean, std = _parse_description(described)
        pixels, dataset = described["normalized_inside"], described["dataset"]
        side = operator.index(described.get("shorter_side", SIZE))  # earlier versions wrote none
        if side < 1:
            raise ValueError(f"shorter_side {side}")
        digests = dict(described.get("sha256", {}))  # earlier versions wrote none
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{stem}.{kind}.json is not a description that export.py wrote: {error}"
        ) from None
    _require_whole(files, digests)
    predict = _load_network(kind, stem, size, classes)
    source: Union[Photographs, SmallImages] = Photographs(None, classes, size, side)
    if [mean, std] != [[*source.mean], [*source.std]]:  # small images have statistics of their own
        spec = DatasetSpec(dataset, tuple(names), tuple(mean), tuple(std), 0, 0, size=size)
        source = SmallImages(spec)

    def read(picture):
        image = source.picture(picture)
        return to_pixels(image[None], mean, std)[0] if pixels else image

    numbers = [str(label) for label in range(classes)]
    problem = "" if names else f"{stem}.{kind}.json has none"
    return Classifier(read, predict, names or numbers, problem)


def _require_whole(files, digests):
    """Check that ``files`` are those that the description was written for.

    MXNet reads damaged parameters without an error, or reserves memory for impossible sizes.

    Args:
        digests: {name of a file: its SHA-256}; others are not checked.

    Raises:
        InputError: a file is not.
    """
    for file in files:
        name = Path(file).name
        if name in digests and hash_file(file) != digests[name]:
            raise InputError(f"{file} is damaged, or of another export: export the network again")


def _load_network(kind, stem, size, classes):
    """Return the network in files as a function: images of ``size`` -> logits.

    Raises:
        InputError: the files are damaged, or their network is of another size.
    """
    try:
        with plain_path(stem) as plain:
            predict = EXPORT_FORMATS[kind].load(plain)
        outputs = predict(np.zeros((1, 3, size, size), np.float32)).shape
    except Exception as error:  # each library raises its own errors
        file = f"{stem}{EXPORT_FORMATS[kind].endings[0]}"
        raise InputError(f"{file} cannot be loaded: {last_line(error)}") from None
    if outputs != (1, classes):
        raise InputError(f"{stem}.{kind}.json is wrong: the outputs are {outputs}")
    return predict


def _parse_description(described):
    """Return (number of classes, size of images, names of the classes, mean, std).

    Raises:
        KeyError, TypeError, ValueError, IndexError: a value is missing or impossible.
    """
    classes = operator.index(described["output"]["shape"][1])
    _, _, size, _ = described["input"]["shape"]
    mean, std = ([float(value) for value in described[name]] for name in ("mean", "std"))
    names = list(map(str, described["classes"] or ()))
    if min(classes, operator.index(size)) < 1 or not len(mean) == len(std) == 3:
        raise ValueError("impossible numbers")
    if len(names) not in (0, classes):
        raise ValueError(f"{len(names)} names for {classes} classes")
    return classes, size, names, mean, std


def classify(
    classifier: Classifier,
    paths: Iterable[Union[str, Path]],
    batch_size: int = 64,
    on_problem: Optional[Callable[[str], None]] = None,
) -> Iterator[Tuple[Union[str, Path], Any]]:
    """Yield (path, its row of ``classifier.predict``'s result) for each picture that can be read.

    Args:
        batch_size: number of pictures that are predicted at once.
        on_problem: called with a line that names a picture that cannot be read, and the reason;
            None raises an error instead.

    Raises:
        InputError: a picture cannot be used, and ``on_problem`` is None.
    """
    waiting = []
    for path in paths:
        try:
            waiting.append((path, classifier.read(path)))
        except (InputError, OSError) as error:
            if on_problem is None:
                raise
            on_problem(" ".join(str(error).split()))
        if len(waiting) == batch_size:
            yield from _predict(classifier, waiting)
            waiting = []
    yield from _predict(classifier, waiting)


def rank_classes(classifier: Classifier, logits: np.ndarray, top: int) -> List[Tuple[str, float]]:
    """Return [(class name, probability)] of the ``top`` most likely classes, in that order.

    Raises:
        InputError: a logit is not a finite number.
    """
    require_finite(logits)
    shares = probabilities(logits[None])[0]
    best = np.argsort(-shares, kind="stable")[:top]
    return [(classifier.names[index], float(shares[index])) for index in best]


def _predict(classifier, waiting):
    if not waiting:
        return
    paths, images = zip(*waiting)
    yield from zip(paths, classifier.predict(np.stack(images)))


def _find_format(path):
    """Return (kind, path without ending) of an exported file."""
    endings = {end: kind for kind, each in EXPORT_FORMATS.items() for end in each.endings}
    endings.update({f".{kind}.json": kind for kind in EXPORT_FORMATS})
    for ending, kind in endings.items():
        if str(path).endswith(ending):
            return kind, str(path)[: -len(ending)]
    raise InputError(f"{path} is not an exported file: these end in {', '.join(endings)}")


def _read_description(path):
    try:
        return parse_object(path.read_text(encoding=ENCODING))
    except FileNotFoundError:
        raise InputError(
            f"there is no {path}, which describes the files' input and output"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
