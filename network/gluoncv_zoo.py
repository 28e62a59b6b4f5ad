"""Networks of gluoncv's model zoo under ``gluoncv:NAME``, as baselines for the same programs."""

import sys
from functools import partial
from typing import Any, Optional

import mxnet as mx
from mxnet.gluon import HybridBlock

from command import InputError, nearest

PREFIX = "gluoncv:"
LARGER_IMAGES = ("inceptionv3", "xception", "xception71")  # made for 299x299

# Files of gluoncv.model_zoo whose networks classify images, into any number of classes.
CLASSIFIERS = {"alexnet", "cifarresnet", "cifarresnext", "cifarwideresnet", "darknet", "densenet"}
CLASSIFIERS |= {"dla", "googlenet", "hrnet", "inception", "mobilenet", "mobilenetv3", "nasnet"}
CLASSIFIERS |= {"residual_attentionnet", "resnest", "resnet", "resnetv1b", "resnext", "senet"}
CLASSIFIERS |= {"shufflenet", "squeezenet", "vgg", "xception"}


def is_gluoncv(name: str) -> bool:
    """Return whether ``name`` means one of gluoncv's networks."""
    return isinstance(name, str) and name.startswith(PREFIX)


def image_size(name: str) -> int:
    """Return height and width of the images that a network of gluoncv is made for."""
    if "cifar" in name.lower():
        return 32
    return 299 if name[len(PREFIX) :].lower() in LARGER_IMAGES else 224


def default_classes(name: str) -> int:
    """Return the number of classes of the data that a network of gluoncv is made for."""
    return 10 if "cifar" in name.lower() else 1000


def get_gluoncv_model(
    name: str, depth: Optional[int], classes: int, widen_factor: int, **options: Any
) -> HybridBlock:
    """Build gluoncv's network of that name, not yet initialized, with ``classes`` logits.

    Raises:
        InputError: gluoncv has no such network, it is not an image classifier for any number of
            classes, or a depth or widen factor is given although the name determines both.
    """
    model_zoo = _import_model_zoo()
    if depth is not None or widen_factor != 1:
        raise InputError(f"{name} has its depth and width in its name: leave them out")
    short = name[len(PREFIX) :].lower()
    constructors = model_zoo.model_zoo._models
    if short not in constructors:
        raise InputError(
            f"gluoncv has no network {short!r}{nearest(short, constructors)} "
            "(gluoncv.model_zoo.get_model_list() lists all of them)"
        )
    file = constructors[short].__module__.split(".")[-1]
    segments = file == "hrnet" and short.endswith("_s")
    if file not in CLASSIFIERS or segments:
        raise InputError(
            f"{name} cannot have {classes} classes: it is not a classifier for any number of them"
        )
    if short.endswith("_gn"):
        raise InputError(f"{name}: its group normalisation does not work with MXNet 1.9.1")
    options["num_classes" if file == "hrnet" else "classes"] = classes
    options.setdefault("pretrained", False)  # some constructors demand it
    with mx.name.NameManager():  # counts from 0: parameters get the same names everywhere
        net = model_zoo.get_model(short, **options)
    if file == "resnest":
        _switch_off_drop_block(net)
    return net


def _switch_off_drop_block(net):
    """Switch off DropBlock, which only takes images of 224 x 224.

    It also tests whether MXNet is in training mode when the network is compiled, and then stays on
    in predictions.
    """
    from gluoncv.nn.dropblock import set_drop_prob

    net.apply(partial(set_drop_prob, 0))


def _import_model_zoo() -> Any:
    """Import gluoncv's model zoo while PyTorch is hidden: it fails with PyTorch 2 or later."""
    torch = sys.modules.pop("torch", None)
    sys.modules["torch"] = None  # type: ignore[assignment]  # importing it now raises ImportError
    try:
        from gluoncv import model_zoo
    except ModuleNotFoundError as error:
        if error.name != "gluoncv":
            raise
        raise InputError(
            "gluoncv is not installed, and networks named gluoncv:NAME need it: run "
            "pip install -e '.[gluoncv]'"
        ) from None
    except ImportError as error:  # OpenCV, whose system libraries are missing
        raise InputError(
            f"gluoncv cannot be imported ({error}): run apt-get install libgl1 libglib2.0-0"
        ) from None
    finally:
        del sys.modules["torch"]
        if torch is not None:
            sys.modules["torch"] = torch
    return model_zoo
