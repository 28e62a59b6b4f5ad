"""Register networks by name, build them, and look up the facts that depend on the name."""

import inspect
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, TypeVar, Union, overload

from mxnet.gluon import HybridBlock

from command import InputError, nearest, require_positive
from network import gluoncv_zoo
from network.pretrained.cards import load_pretrained

Constructor = TypeVar("Constructor", bound=Callable[..., HybridBlock])
REQUIRED = ("depth", "classes", "widen_factor")  # parameters of every constructor
FAMILIES = ("deep-fusion", "fractal", "fractal-plain")  # of recipes
GLUON_OPTIONS = ("prefix", "params")  # what ``**kwargs`` of a constructor stands for


@dataclass(frozen=True)
class Registration:
    """What the rest of the project must know about a network."""

    constructor: Callable[..., HybridBlock]
    image_size: int
    recipe_family: str
    has_columns: bool

    def default(self, parameter: str) -> Optional[int]:
        """Return the constructor's default of ``parameter``, or None if it has none."""
        value = inspect.signature(self.constructor).parameters[parameter].default
        return None if value is inspect.Parameter.empty else value


_REGISTRATIONS: Dict[str, Registration] = {}


@overload
def register_model(constructor: Constructor) -> Constructor: ...


@overload
def register_model(
    *, image_size: int = ..., recipe_family: str = ..., has_columns: bool = ...
) -> Callable[[Constructor], Constructor]: ...


def register_model(
    constructor: Optional[Constructor] = None,
    *,
    image_size: int = 32,
    recipe_family: str = "deep-fusion",
    has_columns: bool = False,
) -> Union[Constructor, Callable[[Constructor], Constructor]]:
    """Register ``constructor(depth, classes, widen_factor, ...)`` under its own name.

    A decorator, ``@register_model`` or ``@register_model(image_size=224)``. The defaults of the
    constructor's ``depth`` and ``classes`` are the network's. Its other named parameters are the
    network's options; ``**kwargs`` stands for Gluon's ``prefix`` and ``params`` alone. In an
    interactive session, a cell that registers a network may be run again.

    Args:
        image_size: height and width, in pixels, of the images that the network is made for.
        recipe_family: "deep-fusion", "fractal" or "fractal-plain"; the recipe that a network is
            trained with by default follows from it and from the data set.
        has_columns: whether the network has columns, ``net.column(index)`` and the sequence
            ``net.subnetworks``, as FractalNet does.

    Raises:
        ValueError: a network of that name is registered already, the constructor lacks a parameter,
            or there is no such family.
    """
    if recipe_family not in FAMILIES:
        raise ValueError(f"recipe_family must be {', '.join(FAMILIES)}, not {recipe_family!r}")

    def register(constructor: Constructor) -> Constructor:
        name = constructor.__name__
        known = _REGISTRATIONS.get(name)
        if known and not _is_interactive(constructor, known.constructor):
            raise ValueError(f"a network named {name!r} is registered already")
        missing = [p for p in REQUIRED if p not in inspect.signature(constructor).parameters]
        if missing:
            raise ValueError(f"network {name!r} must take {', '.join(missing)} as named parameters")
        _REGISTRATIONS[name] = Registration(constructor, image_size, recipe_family, has_columns)
        return constructor

    return register if constructor is None else register(constructor)


def _is_interactive(*constructors: Callable[..., HybridBlock]) -> bool:
    """Return whether all were defined in an interactive session (or a script)."""
    return all(constructor.__module__ == "__main__" for constructor in constructors)


def list_models() -> List[str]:
    """Return the names of the registered networks, sorted."""
    return sorted(_REGISTRATIONS)


def _find(name: str) -> Registration:
    """Return the registration of ``name``.

    Raises:
        InputError: there is no such network; the message lists the networks.
    """
    if not isinstance(name, str) or name not in _REGISTRATIONS:
        raise InputError(
            f"no network is named {name!r}{nearest(name, list_models())} (there are "
            f"{', '.join(list_models())}, and {gluoncv_zoo.PREFIX}NAME for one of gluoncv's)"
        )
    return _REGISTRATIONS[name]


def default_depth(name: str) -> Optional[int]:
    """Return the depth that ``get_model(name)`` builds; None for a network of gluoncv.

    Raises:
        InputError: there is no such network.
    """
    return None if gluoncv_zoo.is_gluoncv(name) else _find(name).default("depth")


def describe_rounding(depth: Optional[int], built_depth: Optional[int]) -> Optional[str]:
    """Return a note if ``depth`` gives the network of the smaller ``built_depth``, or None."""
    if built_depth in (None, depth):
        return None
    return (
        f"depth {depth} builds the same network as depth {built_depth}: only whole blocks are built"
    )


def default_classes(name: str) -> int:
    """Return the number of classes that the network is made for: 10, or 1000 for ImageNet.

    Raises:
        InputError: there is no such network.
    """
    if gluoncv_zoo.is_gluoncv(name):
        return gluoncv_zoo.default_classes(name)
    return _find(name).default("classes") or 10


def image_shape(name: str) -> Tuple[int, int, int]:
    """Return (channels, height, width) of the images that the network is made for.

    Raises:
        InputError: there is no such network.
    """
    gluoncv = gluoncv_zoo.is_gluoncv(name)
    size = gluoncv_zoo.image_size(name) if gluoncv else _find(name).image_size
    return 3, size, size


def recipe_family(name: str) -> str:
    """Return how the network is trained by default: "deep-fusion", "fractal" or "fractal-plain".

    Networks of gluoncv are trained as deeply-fused ones.

    Raises:
        InputError: there is no such network.
    """
    return "deep-fusion" if gluoncv_zoo.is_gluoncv(name) else _find(name).recipe_family


def has_columns(name: str) -> bool:
    """Return whether the network has columns, ``net.column(index)``.

    Raises:
        InputError: there is no such network.
    """
    return not gluoncv_zoo.is_gluoncv(name) and _find(name).has_columns


def list_options(name: str) -> Set[str]:
    """Return the names of the network's own options, such as dropout; none of gluoncv's.

    Raises:
        InputError: there is no such network.
    """
    if gluoncv_zoo.is_gluoncv(name):
        return set()
    return set(inspect.signature(_find(name).constructor).parameters) - {*REQUIRED, *GLUON_OPTIONS}


def require_columns(name: str, argument: str) -> None:
    """Check that the network has columns, which ``argument`` needs.

    Raises:
        InputError: there is no such network, or it has no columns.
    """
    if not has_columns(name):
        raise InputError(f"{argument}: {name} has no columns", argument=argument)


def get_model(
    name: str,
    depth: Optional[int] = None,
    classes: int = 10,
    widen_factor: int = 1,
    pretrained: Optional[str] = None,
    **options: Any,
) -> HybridBlock:
    """Build the network ``name``: images (batch, 3, height, width) -> logits (batch, classes).

    Args:
        name: one of ``list_models()``, or ``gluoncv:NAME`` for a network of gluoncv's model zoo.
        depth: weight layers of the corresponding plain network; None takes the network's default.
        classes: number of logits; see ``default_classes`` for what the network is made for.
        widen_factor: multiplies the network's widths.
        pretrained: data set of trained parameters that come with the project; see
            ``list_pretrained``. They are loaded on the CPU. None leaves the network uninitialized.
        options: the network's own, and ``prefix`` and ``params`` as for any Gluon block. A network
            of gluoncv raises a TypeError for an option that it does not know.

    Raises:
        InputError: (a ValueError) the name or an option is unknown, the depth, width or number of
            classes is impossible, or there are no pretrained parameters of the network; the message
            lists what is possible.
    """
    require_positive(classes=classes, widen_factor=widen_factor)
    if gluoncv_zoo.is_gluoncv(name):
        if pretrained is not None:
            raise InputError("pretrained is for networks of the project, not for gluoncv's")
        return gluoncv_zoo.get_gluoncv_model(name, depth, classes, widen_factor, **options)
    constructor = _find(name).constructor
    depth = default_depth(name) if depth is None else depth
    require_positive(depth=depth)
    _require_known_options(name, constructor, options)
    options.setdefault("prefix", f"{name}_")  # parameters get the same names in every process
    net = constructor(depth, classes=classes, widen_factor=widen_factor, **options)
    if pretrained is not None:
        load_pretrained(net, name, depth, widen_factor, pretrained)
    return net


def _require_known_options(
    name: str, constructor: Callable[..., HybridBlock], options: Dict[str, Any]
) -> None:
    """Raise an InputError for ``options`` that are not in the constructor's signature.

    The constructor's own errors are not caught: they are faults of the network, not bad input.
    """
    parameters = inspect.signature(constructor).parameters
    known = list_options(name) | {*GLUON_OPTIONS}
    takes_others = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    if not takes_others and not {*GLUON_OPTIONS} <= {*parameters}:
        raise InputError(f"network {name} must take **kwargs and pass them to its HybridBlock")
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option}", argument=option)
