"""How a network is trained: the papers' recipes, by name."""

from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Tuple

from command import InputError, nearest
from training.plain import from_plain


@dataclass(frozen=True)
class Recipe:
    """What a result depends on besides network, data and seed; nothing about the machine."""

    epochs: int
    batch_size: int = 64  # over all devices together
    lr: float = 0.1
    lr_factor: float = 0.1
    lr_steps: Tuple[Fraction, ...] = (Fraction(1, 2), Fraction(3, 4), Fraction(7, 8))  # of epochs
    momentum: float = 0.9  # Nesterov's
    weight_decay: float = 1e-4  # on every parameter: weights, biases, gamma, beta
    augmentation: str = "+"
    initializer: str = "deep-fusion"

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("lr", "lr_factor", "momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be a number from 0 on, not {getattr(self, name)}")
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
            steps = tuple(Fraction(step) for step in values["lr_steps"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise InputError("not a recipe: lr_steps must be fractions such as 1/2") from None
        return from_plain(cls, {**values, "lr_steps": steps})


# Zhao et al., "On the Connection of Deep Fusion to Ensembling"; its errors: training/results.py.
DEEP_FUSION = Recipe(epochs=400)
DEEP_FUSION_SVHN = replace(DEEP_FUSION, epochs=40, augmentation="none")

# Small enough for a first try: minutes on two cores. A mirrored digit is no digit, so no mirror.
QUICK = replace(DEEP_FUSION, epochs=12, augmentation="none")

RECIPES = {"deep-fusion": DEEP_FUSION, "deep-fusion-svhn": DEEP_FUSION_SVHN, "quick": QUICK}
_BY_DATASET = {"svhn": "deep-fusion-svhn", "digits": "quick"}


def default_recipe(dataset):
    """Name of the recipe that a data set is trained with when none is named."""
    return _BY_DATASET.get(dataset, "deep-fusion")


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
