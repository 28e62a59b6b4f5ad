"""Read and write the pretrained networks: parameters as float16, and a card for each network.

A network is two files in the folder of this module: ``<name>.params`` (MXNet's format, {name:
array}) and ``<name>.json``, its card, which has the checksum of the parameters' file.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from command import InputError, nearest
from filesystem import plain_path

FOLDER = Path(__file__).resolve().parent
MOST_BYTES = 12_000_000  # limit for all files together
LARGEST = float(np.finfo(np.float16).max)

Arrays = Dict[str, np.ndarray]


@dataclass(frozen=True)
class Card:
    """The card of a pretrained network: its settings, its training and its error."""

    network: str
    depth: int
    widen_factor: int
    dataset: str
    images: str  # description of the images: the data set's own, or copies of them
    classes: List[str]  # their names, by label
    image_size: int
    mean: List[float]  # per channel (RGB), of pixels from 0 to 255
    std: List[float]
    recipe_name: str
    recipe: Dict[str, Any]  # every value
    epochs: int
    engine: str
    seed: int
    seeds: List[int]  # seeds of the runs that were trained; ``seed`` has their median error
    data: Dict[str, Any]  # number and checksum of the training and test images
    run_error: float  # percent, measured before the parameters were rounded
    command: List[str]
    commit: Optional[str]
    test_error: float = math.nan  # percent, measured with the rounded parameters of the file
    column_errors: List[float] = field(default_factory=list)  # the same for each column
    sha256: str = ""  # of the parameters' file

    @property
    def name(self) -> str:
        """Return the name of the pretrained network, such as cross26-cifar10."""
        return card_name(self.network, self.depth, self.widen_factor, self.dataset)


def card_name(network: str, depth: Optional[int], widen_factor: int, dataset: str) -> str:
    """Return the name that a pretrained network with these settings has.

    Examples are cross26-cifar10 and fuse3-26-cifar10: two numbers never stand side by side.
    """
    apart = "-" if network[-1:].isdigit() else ""
    width = f"w{widen_factor}" if widen_factor != 1 else ""
    return f"{network}{apart}{depth}{width}-{dataset}"


def list_pretrained() -> List[str]:
    """Return the names of the pretrained networks, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read_card(name: str) -> Card:
    """Return the card of a pretrained network.

    Raises:
        InputError: there is no network with that name; the message lists the existing ones.
    """
    names = list_pretrained()
    if name not in names:
        known = f"there are {', '.join(names)}" if names else "there is none yet"
        raise InputError(f"no pretrained network is named {name!r}{nearest(name, names)} ({known})")
    path = FOLDER / f"{name}.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        card = Card(**{each.name: values[each.name] for each in fields(Card)})
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error!r}: install the project again") from None
    if card.name != name:
        raise InputError(f"{path} is damaged: it is the card of {card.name}")
    return card


def read_pretrained(name: str) -> Tuple[Card, Arrays]:
    """Return the card of a pretrained network and its arrays in float32, by parameter name.

    Raises:
        InputError: there is no network with that name, or its file does not match the card.
    """
    card, path = read_card(name), FOLDER / f"{name}.params"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != card.sha256:  # MXNet aborts on a damaged file
        raise InputError(
            f"{path} is damaged or altered, because its SHA-256 is not that of its card: install "
            "the project again"
        )
    arrays = mx.nd.load_frombuffer(content)
    return card, {key: array.asnumpy().astype(np.float32) for key, array in arrays.items()}


def load_pretrained(
    net: HybridBlock, network: str, depth: Optional[int], widen_factor: int, dataset: str
) -> None:
    """Initialize ``net``, built with these settings, with the parameters trained on ``dataset``.

    Raises:
        InputError: there are no such parameters, or ``net`` has another number of classes.
    """
    card, values = read_pretrained(card_name(network, depth, widen_factor, dataset))
    parameters = net.collect_params()
    named = {name[len(net.prefix) :]: parameter for name, parameter in parameters.items()}
    wrong = [n for n, each in named.items() if n not in values or each.shape != values[n].shape]
    if wrong:
        raise InputError(
            f"{card.name} does not match {wrong[0]}: give {len(card.classes)} classes and no other "
            "options"
        )
    net.initialize()
    for name, parameter in named.items():
        parameter.set_data(mx.nd.array(values[name]))


def round_values(values: Arrays) -> Arrays:
    """Round {name: array} for storage: to float16, or to float32 if float16 is insufficient.

    Moving averages stay float32, which costs a few kilobytes: they have the range of activations,
    and small variances would lose precision. Arrays too large for float16 stay float32, too.

    Raises:
        InputError: an array has values that are not finite.
    """
    rounded = {}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} has values that are not finite")
        keep = "running" in name or np.abs(value).max(initial=0) > LARGEST
        rounded[name] = value.astype(np.float32 if keep else np.float16)
    return rounded


def write_pretrained(card: Card, values: Arrays) -> List[Path]:
    """Write a pretrained network; return the paths of its files.

    Args:
        card: its card, without the checksum.
        values: the result of ``round_values``.

    Raises:
        InputError: the files of all networks together would be too large.
    """
    with TemporaryDirectory() as folder:
        aside = Path(folder) / "net.params"
        with plain_path(aside) as plain:
            arrays = {name: mx.nd.array(value, dtype=value.dtype) for name, value in values.items()}
            mx.nd.save(plain, arrays)
        content = aside.read_bytes()
    card = replace(card, sha256=hashlib.sha256(content).hexdigest())
    text = json.dumps(asdict(card), indent=1, ensure_ascii=False) + "\n"
    paths = [FOLDER / f"{card.name}.params", FOLDER / f"{card.name}.json"]
    others = sum(path.stat().st_size for path in list_files() if path not in paths)
    if others + len(content) + len(text) > MOST_BYTES:
        raise InputError(
            f"{card.name} has {len(content) / 1e6:.1f} MB, and the other files in {FOLDER} have "
            f"{others / 1e6:.1f}: together they must not exceed {MOST_BYTES / 1e6:g} MB"
        )
    paths[0].write_bytes(content)
    paths[1].write_text(text, encoding="utf-8")
    return paths


def list_files() -> List[Path]:
    """Return the files of all pretrained networks."""
    return [path for ending in ("json", "params") for path in sorted(FOLDER.glob(f"*.{ending}"))]
