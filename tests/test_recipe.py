import json
from fractions import Fraction

import pytest

from command import InputError
from training.recipe import RECIPES, Recipe, default_recipe, differences, get_recipe


def test_the_papers_values():
    recipe = get_recipe("deep-fusion")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.lr_factor) == (400, 64, 0.1, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.augmentation) == (0.9, 1e-4, "+")
    assert recipe.lr_steps == (Fraction(1, 2), Fraction(3, 4), Fraction(7, 8))
    svhn = get_recipe("deep-fusion-svhn")
    assert (svhn.epochs, svhn.augmentation) == (40, "none")


def test_the_recipe_follows_from_the_data_set():
    names = [default_recipe(name) for name in ("cifar10", "cifar100", "svhn", "digits")]
    assert names == ["deep-fusion", "deep-fusion", "deep-fusion-svhn", "quick"]


def test_changes_are_known_by_name():
    recipe = get_recipe("deep-fusion", epochs=15, lr=None, lr_steps=(Fraction(1, 3),))
    assert differences(recipe, "deep-fusion") == {"epochs": 15, "lr_steps": ["1/3"]}
    assert differences(get_recipe("quick"), "quick") == {}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name):
    recipe = get_recipe(name, lr_steps=(Fraction(7, 15),))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"lr": float("nan")}, "lr must be a number from 0 on, not nan"),
        ({"lr": float("inf")}, "not inf"),
        ({"lr": -0.1}, "not -0.1"),
        ({"lr_steps": (Fraction(3, 2),)}, "between 0 and 1"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        get_recipe("deep-fusion", **changes)


def test_unknown_recipe_is_answered_with_the_names():
    with pytest.raises(InputError, match="did you mean deep-fusion.*deep-fusion-svhn, quick"):
        get_recipe("deep_fusion")


@pytest.mark.parametrize(
    "damage",
    [
        {"epochs": "400"},
        {"lr": None},
        {"lr_steps": ["1/0"]},
        {"lr_steps": 3},
        {"lr_steps": ["x"]},
        {"momentum": []},
    ],
)
def test_damaged_json_is_refused(damage):
    with pytest.raises(InputError):
        Recipe.from_json({**get_recipe("quick").to_json(), **damage})
    for other in (None, [], {}, {"lr_steps": []}):
        with pytest.raises(InputError):
            Recipe.from_json(other)
