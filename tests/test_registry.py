import sys
from importlib.machinery import BuiltinImporter, PathFinder

import mxnet as mx
import pytest

from command import InputError
from network import (
    default_classes,
    default_depth,
    get_model,
    gluoncv_zoo,
    has_columns,
    image_shape,
    list_models,
    recipe_family,
    register_model,
    registry,
)
from network.complexity import complexity
from network.fractal import FractalNet


def test_lists_the_deeply_fused_networks():
    assert {"plain", "resnet", "cross", "half", "side", "fuse3", "fuse6"} <= set(list_models())


def test_unknown_name_is_answered_with_the_names():
    with pytest.raises(ValueError, match="did you mean cross.*fuse3, fuse6, half"):
        get_model("crosss", 26)
    for name in (None, 7, ["cross"]):
        with pytest.raises(ValueError, match="no network is named"):
            get_model(name)


def test_a_name_is_registered_once():
    def cross(depth, classes, widen_factor):
        raise AssertionError("never called")

    with pytest.raises(ValueError, match="'cross' is registered already"):
        register_model(cross)


def test_a_cell_of_a_notebook_may_be_run_again(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRATIONS", {})

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


@pytest.fixture
def no_networks(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRATIONS", {})


@pytest.mark.parametrize("name", list_models())
def test_what_depends_on_a_network_is_registered_with_it(name):
    photographs = name.endswith("_imagenet")
    assert image_shape(name) == ((3, 224, 224) if photographs else (3, 32, 32))
    assert default_classes(name) == (1000 if photographs else 10)
    net = get_model(name)
    assert net.classifier.weight.shape[0] == 10
    assert has_columns(name) == hasattr(net, "column") == isinstance(net, FractalNet)
    family = "fractal" if name.startswith("fractal") else "deep-fusion"
    assert recipe_family(name) == ("fractal-plain" if name == "fractal_plain" else family)


def test_a_network_of_ones_own_says_what_it_is_for(no_networks):
    @register_model(image_size=64, recipe_family="fractal", has_columns=True)
    def mine(depth=14, classes=5, widen_factor=1):
        raise AssertionError("never called")

    assert (default_depth("mine"), default_classes("mine")) == (14, 5)
    assert (image_shape("mine"), recipe_family("mine")) == ((3, 64, 64), "fractal")
    assert has_columns("mine")


def test_a_constructor_without_a_width_is_refused():
    with pytest.raises(ValueError, match="'narrow' must take widen_factor"):

        @register_model
        def narrow(depth=14, classes=10):
            raise AssertionError("never called")


def test_a_family_without_recipes_is_refused():
    with pytest.raises(ValueError, match="recipe_family must be deep-fusion, fractal, .*'fractl'"):
        register_model(recipe_family="fractl")


def test_a_constructor_must_take_gluons_options(no_networks):
    @register_model
    def mine(depth=14, classes=10, widen_factor=1):
        raise AssertionError("never called")

    with pytest.raises(InputError, match="network mine must take ..kwargs"):
        get_model("mine")


def test_a_network_without_default_depth_asks_for_one(no_networks):
    @register_model
    def mine(depth, classes, widen_factor, **kwargs):
        return depth

    assert default_depth("mine") is None and default_classes("mine") == 10
    assert get_model("mine", 8) == 8
    with pytest.raises(InputError, match="depth must be a whole number of at least 1, not None"):
        get_model("mine")


@pytest.mark.parametrize("query", [default_classes, default_depth, has_columns, image_shape])
def test_queries_refuse_an_unknown_name(query):
    with pytest.raises(InputError, match="did you mean cross"):
        query("crosss")


@pytest.mark.parametrize(
    "name,option", [("cross", "dropout"), ("fractal_plain", "drop_path"), ("fractal", "columns")]
)
def test_an_option_that_a_network_lacks_is_bad_input(name, option):
    with pytest.raises(InputError, match=f"{name} has no option {option}"):
        get_model(name, **{option: 0.1})


@pytest.mark.parametrize(
    "error", [TypeError("f() got an unexpected keyword argument 'sharpness'"), OSError("no file")]
)
def test_a_fault_of_a_constructor_keeps_its_traceback(no_networks, error):
    @register_model
    def mine(depth=14, classes=10, widen_factor=1, sharpness=0, **kwargs):
        raise error

    with pytest.raises(type(error)) as caught:
        get_model("mine", sharpness=1)
    assert caught.value is error and not isinstance(caught.value, InputError)
    with pytest.raises(InputError, match="mine has no option sharp$"):
        get_model("mine", sharp=1)


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
    cost = complexity(get_model("gluoncv:cifar_resnet20_v1", classes=10))
    assert cost.layers == 20
    assert cost.outputs == ((10,),)
    with pytest.raises(InputError, match="no network 'cifar_resnet21_v1'; did you mean cifar_"):
        get_model("gluoncv:cifar_resnet21_v1")
    with pytest.raises(InputError, match="has its depth and width in its name"):
        get_model("gluoncv:cifar_resnet20_v1", depth=20)
    for other in ("ssd_512_mobilenet1.0_voc", "hrnet_w18_small_v1_s", "resnet18_v1b_0.89"):
        with pytest.raises(InputError, match="cannot have 10 classes"):  # segments; always has 1000
            get_model(f"gluoncv:{other}", classes=10)
    cost = complexity(get_model("gluoncv:hrnet_w18_small_v1_c", classes=10), (3, 64, 64))
    assert cost.outputs == ((10,),)


def test_sizes_of_peers():
    assert image_shape("gluoncv:cifar_resnet20_v1") == (3, 32, 32)
    assert image_shape("gluoncv:resnet50_v1b") == (3, 224, 224)
    assert image_shape("gluoncv:InceptionV3") == (3, 299, 299)
    assert default_classes("gluoncv:cifar_resnet20_v1") == 10
    assert default_classes("gluoncv:resnet50_v1b") == 1000
    assert recipe_family("gluoncv:resnet50_v1b") == "deep-fusion"
    assert default_depth("gluoncv:resnet50_v1b") is None and not has_columns("gluoncv:vgg11")


def test_gluoncvs_networks_with_drop_block_take_images_of_any_size():
    with mx.autograd.record():  # where DropBlock would be on
        complexity(get_model("gluoncv:resnest26", classes=10), (3, 64, 64))


def test_an_environment_without_gluoncv_says_how_to_get_it(monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "gluoncv"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [BuiltinImporter, PathFinder])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(InputError, match="gluoncv is not installed.*pip install"):
        get_model("gluoncv:cifar_resnet20_v1")


def test_a_fault_of_gluoncv_keeps_its_traceback(monkeypatch):
    model_zoo = gluoncv_zoo._import_model_zoo().model_zoo

    def broken(**kwargs):
        raise TypeError("broken")

    broken.__module__ = "gluoncv.model_zoo.resnet"
    monkeypatch.setitem(model_zoo._models, "resnet18_v1", broken)
    with pytest.raises(TypeError, match="^broken$"):
        get_model("gluoncv:resnet18_v1")


def test_opencv_without_its_system_libraries_is_named(tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "gluoncv"]:
        monkeypatch.delitem(sys.modules, module)
    (tmp_path / "gluoncv.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="libGL.so.1.*apt-get install libgl1"):
        get_model("gluoncv:cifar_resnet20_v1")
