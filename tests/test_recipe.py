import json
from fractions import Fraction

import pytest

from command import InputError
from training.recipe import RECIPES, Recipe, default_recipe, differences, get_recipe, parse_step
from training.schedule import step_lr


def test_the_papers_values():
    recipe = get_recipe("deep-fusion")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.lr_factor) == (400, 64, 0.1, 0.1)
    assert (recipe.momentum, recipe.weight_decay, recipe.augmentation) == (0.9, 1e-4, "+")
    assert recipe.lr_steps == (Fraction(1, 2), Fraction(3, 4), Fraction(7, 8))
    svhn = get_recipe("deep-fusion-svhn")
    assert (svhn.epochs, svhn.augmentation) == (40, "none")


def test_fractalnets_values():
    recipe = get_recipe("fractal")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.lr_factor) == (400, 100, 0.02, 0.1)
    drops = [
        e
        for e in range(1, 400)
        if step_lr(e, 400, 1, 0.1, recipe.lr_steps)
        < 0.5 * step_lr(e - 1, 400, 1, 0.1, recipe.lr_steps)
    ]
    assert drops == [200, 300, 350, 375]
    assert (recipe.optimizer, recipe.momentum, recipe.decayed) == ("sgd", 0.9, "weights")
    assert (recipe.drop_path, recipe.drop_path_rate, recipe.dropout) == ("mixed", 0.15, 0.1)
    svhn = get_recipe("fractal-svhn")
    assert (svhn.epochs, svhn.augmentation) == (20, "none")
    assert get_recipe("fractal-plain").drop_path == "none"


@pytest.mark.parametrize(
    "network,names",
    [
        ("cross", ["deep-fusion", "deep-fusion", "deep-fusion-svhn", "quick"]),
        ("fractal", ["fractal", "fractal", "fractal-svhn", "fractal-quick"]),
        ("fractal_square", ["fractal", "fractal", "fractal-svhn", "fractal-quick"]),
        (
            "fractal_plain",
            ["fractal-plain", "fractal-plain", "fractal-plain-svhn", "fractal-plain-quick"],
        ),
    ],
)
def test_the_recipe_follows_from_data_set_and_network(network, names):
    datasets = ("cifar10", "cifar100", "svhn", "digits")
    assert [default_recipe(dataset, network) for dataset in datasets] == names


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
        ({"lr": float("nan")}, "lr must be a number of at least 0, not nan"),
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
    whole = get_recipe("quick").to_json()
    del whole["lr_steps"]
    for other in (None, [], {}, {"lr_steps": []}, whole):
        with pytest.raises(InputError):
            Recipe.from_json(other)


@pytest.mark.parametrize(
    "text, step", [("1/2", Fraction(1, 2)), ("0.25", Fraction(1, 4)), ("200", Fraction(200))]
)
def test_steps_are_read(text, step):
    assert parse_step(text) == step


@pytest.mark.parametrize("text", ["1e999999999", "1/0", "-1/2", "nan", "", "1/2/3", "1_0", "٣"])
def test_what_is_no_step_is_refused_at_once(text):
    with pytest.raises(ValueError, match="is not a step"):
        parse_step(text)
