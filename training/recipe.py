"""Define how networks are trained: the papers' recipes, by name."""

import re
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, Dict, Tuple

from command import InputError, nearest
from engine.optimizer import DECAYED, OPTIMIZERS
from network import recipe_family
from training.options import check_options, option
from training.schedule import SCHEDULES
from training.serialization import from_plain


def parse_step(text):
    """Return a step of the learning rate as a Fraction: "1/2", "0.5", or "200" epochs.

    Other notations are refused, because Fraction("1e999999999") would fill the memory.

    Raises:
        ValueError: ``text`` is not such a number.
    """
    if not re.fullmatch(r"[0-9]{1,30}([./][0-9]{1,30})?", text) or re.fullmatch(r".*/0+", text):
        raise ValueError(f"{text} is not a step of the learning rate such as 1/2 or 200")
    return Fraction(text)


def parse_steps(text):
    """Return the Fractions in a list such as "200,300,350" or "1/2,3/4,7/8"."""
    return tuple(parse_step(part.strip()) for part in text.split(",") if part.strip())


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: everything that a result depends on, but network, data and seed."""

    epochs: int = option(help="passes over the training set", low=1)
    batch_size: int = option(64, help="images in a training step, over all devices together", low=1)
    schedule: str = option(
        "step",
        choices=SCHEDULES,
        help="how the learning rate falls: step, by --lr-factor at --lr-steps; cosine, to 0; "
        "one-cycle, linearly to 0",
    )
    lr: float = option(0.1, help="highest learning rate", low=0)
    lr_factor: float = option(0.1, help="the rate is multiplied by this at --lr-steps", low=0)
    lr_steps: Tuple[Fraction, ...] = option(
        (Fraction(1, 2), Fraction(3, 4), Fraction(7, 8)),
        parse=parse_steps,
        metavar="STEPS",
        help="when the learning rate falls: after these epochs (200,300,350) or fractions of "
        "all epochs (1/2,3/4,7/8)",
    )
    warmup_epochs: float = option(
        0.0, help="epochs at the start in which the learning rate grows linearly from 0", low=0
    )
    optimizer: str = option(
        "nesterov",
        choices=tuple(OPTIMIZERS),
        help="SGD with Nesterov's momentum; SGD with momentum; or Muon, whose updates of "
        "convolutions are orthogonal matrices",
    )
    momentum: float = option(0.9, help="momentum of the optimizer", low=0, below=1)
    momentum_correction: bool = option(
        False, help="scale the momentum by the change of the learning rate at each step"
    )
    weight_decay: float = option(
        1e-4, help="weight decay of the parameters that --decayed names", low=0
    )
    decayed: str = option(
        "all",
        choices=DECAYED,
        help="which parameters decay: all (also gamma, beta and biases) or weights",
    )
    clip_norm: float = option(
        0.0, help="largest norm of the gradient; longer ones are scaled down; 0: no limit", low=0
    )
    augmentation: str = option("+", help="augmentation of the training images")
    cutout: int = option(
        0, help="side of a square that is masked in each image, in pixels; 0: none", low=0
    )
    mixup: float = option(
        0.0,
        help="alpha: mix pairs of images with weights drawn from Beta(alpha, alpha); 0: no mixup",
        low=0,
    )
    label_smoothing: float = option(
        0.0, help="probability that is spread evenly over all classes", low=0, below=1
    )
    ema_decay: float = option(
        0.0,
        help="decay of an exponential moving average of the weights, which is then tested and "
        "saved; 0: none",
        low=0,
        below=1,
    )
    initializer: str = option("deep-fusion", help="initial values: deep-fusion or xavier")
    drop_path: str = option(
        "none",
        help="FractalNet: what a mini-batch trains. local: the network with some inputs of joins "
        "dropped; global: one column; mixed: either of the two; tied: the network and all columns",
    )
    drop_path_rate: float = option(
        0.15, help="probability of dropping an input of a join (local); paper: 0.15", low=0, below=1
    )
    dropout: float = option(
        0.0,
        help="FractalNet: the dropout rates of its blocks are 0, 1, 2, 3, 4 times this; paper: 0.1",
        low=0,
    )
    early_stop: int = option(
        0,
        help="with --val-split, stop if the held-out error has not reached a new minimum for N "
        "epochs; 0: never",
        low=0,
        metavar="N",
    )

    def __post_init__(self):
        check_options(self)
        for step in self.lr_steps:
            if not 0 < step < 1:
                raise InputError(
                    "lr_steps must lie between 0 and 1 (of the epochs), not after epoch "
                    f"{float(step * self.epochs):g} of {self.epochs}",
                    argument="lr_steps",
                )
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"warmup_epochs must be below the number of epochs, {self.epochs}, not "
                f"{self.warmup_epochs:g}",
                argument="warmup_epochs",
            )

    def to_json(self) -> Dict[str, Any]:
        """Return the recipe as plain values for ``config.json``."""
        return {**asdict(self), "lr_steps": [str(step) for step in self.lr_steps]}

    @classmethod
    def from_json(cls, values: Any) -> "Recipe":
        """Return the recipe that ``to_json`` wrote.

        Raises:
            InputError: a value is missing, unknown or impossible.
        """
        if not isinstance(values, dict):
            return from_plain(cls, values)  # says what is missing
        if "lr_steps" not in values:
            raise InputError("settings are missing: lr_steps")
        try:
            steps = tuple(map(parse_step, values["lr_steps"]))
        except (TypeError, ValueError):
            raise InputError("not a recipe: lr_steps must be fractions such as 1/2") from None
        return from_plain(cls, {**values, "lr_steps": steps})


# Zhao et al., "On the Connection of Deep Fusion to Ensembling"; results/papers.py has its errors.
DEEP_FUSION = Recipe(epochs=400)
DEEP_FUSION_SVHN = replace(DEEP_FUSION, epochs=40, augmentation="none")

# Recipes for a first try: minutes on two cores. Digits must not be mirrored.
QUICK = replace(DEEP_FUSION, epochs=12, augmentation="none")

# Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals", section 4.1. The paper
# does not state its weight decay; its authors' generator decays only weights.
FRACTAL = Recipe(
    epochs=400,
    batch_size=100,
    lr=0.02,
    lr_steps=(Fraction(1, 2), Fraction(3, 4), Fraction(7, 8), Fraction(15, 16)),
    optimizer="sgd",
    decayed="weights",
    initializer="xavier",
    drop_path="mixed",
    dropout=0.1,
)
FRACTAL_SVHN = replace(FRACTAL, epochs=20, augmentation="none")
FRACTAL_QUICK = replace(FRACTAL, epochs=12, batch_size=20, augmentation="none", dropout=0.0)
ALONE: Dict[str, Any] = {"drop_path": "none", "dropout": 0.0}  # table 4's plain networks
FRACTAL_PLAIN = replace(FRACTAL, **ALONE)
FRACTAL_PLAIN_SVHN = replace(FRACTAL_SVHN, **ALONE)
FRACTAL_PLAIN_QUICK = replace(FRACTAL_QUICK, **ALONE)

# ImageNet in the same papers. FractalNet's paper does not say which augmentation, drop-path and
# dropout it used there. This recipe has neither of the two, and deep fusion's augmentation.
DEEP_FUSION_IMAGENET = replace(
    DEEP_FUSION,
    epochs=120,
    batch_size=256,
    lr_steps=(Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)),
    augmentation="imagenet",
)
FRACTAL_IMAGENET = replace(
    FRACTAL,
    epochs=70,
    batch_size=32,
    lr=0.001,
    lr_steps=(Fraction(50, 70), Fraction(65, 70)),
    augmentation="imagenet",
    drop_path="none",
    dropout=0.0,
)

# For a low error in few epochs: Muon in one cycle (Smith and Topin) with the weight decay of the
# fast CIFAR-10 recipes. docs/training.md has the runs that led to it.
FAST = Recipe(
    epochs=15,
    batch_size=128,
    schedule="one-cycle",
    lr=0.2,
    warmup_epochs=3.0,
    optimizer="muon",
    momentum_correction=True,
    weight_decay=5e-4,
)
FRACTAL_FAST = replace(FAST, batch_size=100, initializer="xavier", drop_path="mixed")
FRACTAL_PLAIN_FAST = replace(FRACTAL_FAST, **ALONE)

# The same length with SGD, as in the papers: analysis/claims.py tests their claims with it.
FAST_SGD = replace(FAST, optimizer="nesterov")
FRACTAL_FAST_SGD = replace(FRACTAL_FAST, optimizer="nesterov", batch_size=50, lr=0.05)
FRACTAL_PLAIN_FAST_SGD = replace(FRACTAL_FAST_SGD, **ALONE)

RECIPES = {
    "deep-fusion": DEEP_FUSION,
    "deep-fusion-svhn": DEEP_FUSION_SVHN,
    "quick": QUICK,
    "fractal": FRACTAL,
    "fractal-svhn": FRACTAL_SVHN,
    "fractal-quick": FRACTAL_QUICK,
    "fractal-plain": FRACTAL_PLAIN,
    "fractal-plain-svhn": FRACTAL_PLAIN_SVHN,
    "fractal-plain-quick": FRACTAL_PLAIN_QUICK,
    "deep-fusion-imagenet": DEEP_FUSION_IMAGENET,
    "fractal-imagenet": FRACTAL_IMAGENET,
    "fast": FAST,
    "fractal-fast": FRACTAL_FAST,
    "fractal-plain-fast": FRACTAL_PLAIN_FAST,
    "fast-sgd": FAST_SGD,
    "fractal-fast-sgd": FRACTAL_FAST_SGD,
    "fractal-plain-fast-sgd": FRACTAL_PLAIN_FAST_SGD,
}


# Data sets of digits, which must not be mirrored -> how the names of their default recipes end.
DIGITS = {"svhn": "-svhn", "mnist": "-svhn", "digits": "-quick"}


def default_recipe(dataset: str, network: str) -> str:
    """Return the name of a network's default recipe on a data set."""
    name = recipe_family(network) + DIGITS.get(dataset, "")
    return {"deep-fusion-quick": "quick"}.get(name, name)


def default_photograph_recipe(network: str) -> str:
    """Return the name of a network's default recipe on photographs."""
    family = "fractal" if recipe_family(network).startswith("fractal") else "deep-fusion"
    return f"{family}-imagenet"


def get_recipe(name: str, **changes: Any) -> Recipe:
    """Return the recipe ``name`` with ``changes`` to its values; None keeps a value.

    Raises:
        InputError: no recipe has that name, or a value is impossible.
    """
    if name not in RECIPES:
        raise InputError(
            f"no recipe is named {name!r}{nearest(name, RECIPES)} (there are {', '.join(RECIPES)})"
        )
    return replace(RECIPES[name], **{k: v for k, v in changes.items() if v is not None})


def differences(recipe: Recipe, name: str) -> Dict[str, Any]:
    """Return {field: plain value} of the values that differ from the recipe ``name``."""
    return compare(recipe, RECIPES[name]) if name in RECIPES else recipe.to_json()


def show_value(value: Any) -> str:
    """Return a plain value of a recipe in words, such as "1/2, 3/4" for a list of steps."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def compare(recipe: Recipe, other: Recipe) -> Dict[str, Any]:
    """Return {field: plain value} of the values of ``recipe`` that differ from ``other``."""
    ours, theirs = recipe.to_json(), other.to_json()
    return {name: value for name, value in ours.items() if value != theirs[name]}
