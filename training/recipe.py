"""How a network is trained: the papers' recipes, by name."""

import re
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Tuple

from command import InputError, nearest
from training.serialization import from_plain


@dataclass(frozen=True)
class Recipe:
    """What a result depends on besides network, data and seed; nothing about the machine."""

    epochs: int
    batch_size: int = 64  # over all devices together
    lr: float = 0.1
    lr_factor: float = 0.1
    lr_steps: Tuple[Fraction, ...] = (Fraction(1, 2), Fraction(3, 4), Fraction(7, 8))  # of epochs
    optimizer: str = "nesterov"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decayed: str = "all"  # parameters that decay: all (gamma, beta, biases too) or weights
    augmentation: str = "+"
    initializer: str = "deep-fusion"
    drop_path: str = "none"  # FractalNet's; see network/drop_path.py
    drop_path_rate: float = 0.15  # of local drop-path
    dropout: float = 0.0  # FractalNet's: 0, 1, 2, 3, 4 times this in its five blocks

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("lr", "lr_factor", "momentum", "weight_decay", "dropout", "drop_path_rate"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be a number from 0 on, not {getattr(self, name)}")
        if self.drop_path_rate >= 1:
            raise InputError(f"drop_path_rate must be below 1, not {self.drop_path_rate}")
        for step in self.lr_steps:
            if not 0 < step < 1:
                raise InputError(f"lr_steps must lie between 0 and 1 (of the epochs), not {step}")

    def to_json(self):
        """Plain values for ``config.json``."""
        return {**asdict(self), "lr_steps": [str(step) for step in self.lr_steps]}

    @classmethod
    def from_json(cls, values):
        """The recipe that ``to_json`` wrote.

        Raises:
            InputError: a value is missing, unknown or impossible.
        """
        try:
            steps = tuple(map(parse_step, values["lr_steps"]))
        except (KeyError, TypeError, ValueError):
            raise InputError("not a recipe: lr_steps must be fractions such as 1/2") from None
        return from_plain(cls, {**values, "lr_steps": steps})


# Zhao et al., "On the Connection of Deep Fusion to Ensembling"; its errors: results/papers.py.
DEEP_FUSION = Recipe(epochs=400)
DEEP_FUSION_SVHN = replace(DEEP_FUSION, epochs=40, augmentation="none")

# Small enough for a first try: minutes on two cores. A mirrored digit is no digit, so no mirror.
QUICK = replace(DEEP_FUSION, epochs=12, augmentation="none")

# Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals", section 4.1. The paper
# does not print its weight decay; its authors' generator decays weights and nothing else.
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
ALONE = {"drop_path": "none", "dropout": 0.0}  # table 4's plain networks
FRACTAL_PLAIN = replace(FRACTAL, **ALONE)
FRACTAL_PLAIN_SVHN = replace(FRACTAL_SVHN, **ALONE)
FRACTAL_PLAIN_QUICK = replace(FRACTAL_QUICK, **ALONE)

# The same papers' ImageNet. FractalNet's says nothing of augmentation, drop-path and dropout there:
# its table 1 has a plain "FractalNet" without both, and so this is; augmentation is deep fusion's.
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
}


def parse_step(text):
    """The Fraction that ``text`` is: 1/2, 0.5, or epochs, 200. Fraction itself takes 1e999999999.

    Raises:
        ValueError: it is none of these.
    """
    if not re.fullmatch(r"[0-9]{1,30}([./][0-9]{1,30})?", text) or re.fullmatch(r".*/0+", text):
        raise ValueError(f"{text} is no step of the learning rate")
    return Fraction(text)


def default_recipe(dataset, network):
    """Name of the recipe that a network is trained with on a data set when none is named."""
    if network.startswith("fractal"):
        family = "fractal-plain" if network == "fractal_plain" else "fractal"
        return family + {"svhn": "-svhn", "digits": "-quick"}.get(dataset, "")
    return {"svhn": "deep-fusion-svhn", "digits": "quick"}.get(dataset, "deep-fusion")


def default_photograph_recipe(network):
    """Name of the recipe that a network is trained with on photographs when none is named."""
    return "fractal-imagenet" if network.startswith("fractal") else "deep-fusion-imagenet"


def get_recipe(name, **changes):
    """The recipe ``name`` with ``changes`` to its values; None leaves a value as it is.

    Raises:
        InputError: no recipe has that name, or a value is impossible.
    """
    if name not in RECIPES:
        raise InputError(
            f"no recipe is named {name!r}{nearest(name, RECIPES)} (there are {', '.join(RECIPES)})"
        )
    return replace(RECIPES[name], **{k: v for k, v in changes.items() if v is not None})


def differences(recipe, name):
    """Values of ``recipe`` that differ from the recipe ``name``: field -> plain value."""
    if name not in RECIPES:
        return recipe.to_json()
    ours, theirs = recipe.to_json(), RECIPES[name].to_json()
    return {name: value for name, value in ours.items() if value != theirs[name]}
