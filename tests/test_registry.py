import pytest

from command import InputError
from network import default_depth, get_model, list_models, registry
from network.registry import register_model


def test_lists_the_deeply_fused_networks():
    assert {"plain", "resnet", "cross", "half", "side", "fuse3", "fuse6"} <= set(list_models())


def test_unknown_name_is_answered_with_the_names():
    with pytest.raises(ValueError, match="did you mean cross.*fuse3, fuse6, half"):
        get_model("crosss", 26)


def test_a_name_is_registered_once():
    def cross(depth, classes, widen_factor):
        raise AssertionError("never called")

    with pytest.raises(ValueError, match="'cross' is registered already"):
        register_model(cross)


def test_a_cell_of_a_notebook_may_be_run_again(monkeypatch):
    monkeypatch.setattr(registry, "_CONSTRUCTORS", {})

    def define(depth, module):
        def mine(depth=depth, classes=10, widen_factor=1):
            raise AssertionError("never called")

        mine.__module__ = module
        register_model(mine)

    define(14, "__main__")
    define(26, "__main__")
    assert default_depth("mine") == 26
    with pytest.raises(ValueError, match="registered already"):
        define(26, "network.mine")


@pytest.mark.parametrize(
    "values,message",
    [
        ({"depth": 0}, "depth must be a whole number of at least 1, not 0"),
        ({"depth": -26}, "not -26"),
        ({"depth": 26.0}, "not 26.0"),
        ({"depth": "26"}, "not '26'"),
        ({"depth": True}, "not True"),
        ({"depth": 26, "classes": 0}, "classes must be"),
        ({"depth": 26, "widen_factor": 1.5}, "widen_factor must be"),
        ({"depth": 13}, "depth 13 leaves a stage without blocks.*at least 14"),
    ],
)
def test_impossible_sizes_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        get_model("cross", **values)


@pytest.mark.parametrize(
    "name,smallest",
    [
        ("plain", 5),
        ("resnet", 8),
        ("cross", 14),
        ("half", 14),
        ("side", 14),
        ("fuse3", 5),
        ("fuse6", 8),
    ],
)
def test_smallest_depth(name, smallest):
    get_model(name, smallest)
    with pytest.raises(InputError, match=f"depth {smallest - 1} .*{smallest}"):
        get_model(name, smallest - 1)


def test_peers():
    from network.complexity import complexity

    cost = complexity(get_model("gluoncv:cifar_resnet20_v1", classes=10))
    assert cost.layers == 20
    assert cost.outputs == ((10,),)
    with pytest.raises(InputError, match="no network 'cifar_resnet21_v1'; did you mean cifar_"):
        get_model("gluoncv:cifar_resnet21_v1")
    with pytest.raises(InputError, match="has its depth and width in its name"):
        get_model("gluoncv:cifar_resnet20_v1", depth=20)
    with pytest.raises(InputError, match="cannot be made with 10 classes"):
        get_model("gluoncv:ssd_512_mobilenet1.0_voc", classes=10)
