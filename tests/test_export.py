"""Exported files, in programs that know nothing of this project, give what the network gives."""

import json
import re
import resource
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from PIL import Image

import evaluate
import export as script
import train_cifar
import train_imagenet
from command import InputError
from data.spec import get_spec
from engine.mxnet_engine import MXNetEngine
from network import list_models
from network.exporter import read_parameters
from network.folding import simplify
from network.graph import to_symbol
from tests.photo_files import write_photographs
from tests.record_files import random_pixels, write_random_rec
from tests.test_all_networks import images, make
from tests.test_scripts import refused
from training import evaluation, exporting, parameter_files
from training.exporting import EXPORT_FORMATS
from training.initialization import initialize_from

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

pytestmark = pytest.mark.medium

FLAGS = ["--num-epochs", "2", "--checkpoint-epochs", "1", "--quiet"]
QUICK = ["plain"]  # the others take many seconds each; other tests write a FractalNet
OTHERS = [name for name in list_models() if name not in QUICK]


@pytest.fixture(scope="module")
def fractal(data, tmp_path_factory):
    """Folder of a short run with dropout and drop-path."""
    top = tmp_path_factory.mktemp("fractal")
    network = ["--network", "fractal", "--depth", "10", "--batch-size", "30"]
    train_cifar.main([*network, *FLAGS, "--data-dir", str(data), "--log-dir", str(top)])
    return top / "cifar10" / "fractal_d10w1" / "run1"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folder of a short run on photographs, of a network of gluoncv's."""
    top = write_photographs(tmp_path_factory.mktemp("photos"), classes=3)
    flags = ["--network", "gluoncv:mobilenet0.25", "--data-shape", "32", "--lr", "0.001"]
    flags += ["--data-dir", str(top), "--log-dir", str(top), "--dataset", "photos"]
    train_imagenet.main([*flags, *FLAGS, "--batch-size", "16"])
    (folder,) = (top / "photos").glob("*/run1")
    return folder


def run_symbol(folder, name, x):
    symbol, params = folder / f"{name}-symbol.json", folder / f"{name}-0000.params"
    net = mx.gluon.SymbolBlock.imports(str(symbol), ["data"], str(params))
    return net(mx.nd.array(x)).asnumpy()


def run_onnx(folder, name, x):
    session = onnxruntime.InferenceSession(
        str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"data": x})[0]


def run_torch(folder, name, x):
    net = torch.export.load(str(folder / f"{name}.pt2")).module()
    return net(torch.as_tensor(x, dtype=torch.float32)).detach().numpy()


RUN = {"symbol": run_symbol, "onnx": run_onnx, "torch": run_torch}


def close(y, z):
    return np.abs(y - z).max() <= 1e-4 * np.abs(z).max()


def written(run, folder, *flags):
    script.main([str(run), "--out", str(folder), *flags])


@pytest.fixture(scope="module")
def exported(fractal, tmp_path_factory):
    """A function: flags of export.py -> folder of the FractalNet's files, written once."""

    @lru_cache(maxsize=None)
    def write(*flags):
        folder = tmp_path_factory.mktemp("exported")
        written(fractal, folder, *flags)
        return folder

    return write


def logits_of(run, part=None, epoch=None):
    """Normalised test images, their pixels, and what the network says of them."""
    trained = evaluation.restore(run, "cpu", epoch)
    data, engine = trained.data, trained.engine
    (batch,) = data.test_batches(data.test_set, 100)
    return batch.images, data.test_set, engine.to_numpy(engine.predict(batch.images, part))


@pytest.fixture(scope="module")
def written_networks(tmp_path_factory):
    """Folder of what the tests below write of every network, with images and logits beside it."""
    return tmp_path_factory.mktemp("networks")


def make_used(name):
    """A network with moving averages that matter."""
    net, rng = make(name), np.random.default_rng(1)
    for each, parameter in net.collect_params(".*running").items():
        lowest, highest = (0.5, 1.5) if each.endswith("var") else (-0.1, 0.1)
        parameter.set_data(mx.nd.array(rng.uniform(lowest, highest, parameter.shape)))
    return net


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_every_network_and_its_parts_can_be_written(name, written_networks):
    """Folded for PyTorch and as it is for MXNet and ONNX, and run on more images at once."""
    net, x = make_used(name), images(name, 3)
    for index, part in enumerate([net, *getattr(net, "subnetworks", ())][:2]):
        logits, graph = part(x).asnumpy(), to_symbol(part)
        values = read_parameters(graph, part)
        folder = written_networks / f"{name}-{index}"
        for kind in EXPORT_FORMATS:
            given = simplify(graph, values) if kind == "torch" else (graph, values)
            how = (x.shape[1:], kind, folder / kind, {}, x.asnumpy(), logits)
            files, described = exporting.export(*given, *how)
            assert described["largest_difference"] < 1e-5
            assert all(file.stat().st_size for file in files)
        several = mx.nd.concat(x, 2 * x, dim=0)
        expected = part(several).asnumpy()
        assert close(run_onnx(folder, "onnx", several.asnumpy()), expected)
        np.save(folder / "images.npy", several.asnumpy())
        np.save(folder / "logits.npy", expected)


@pytest.mark.parametrize("names", [QUICK, pytest.param(OTHERS, marks=pytest.mark.slow)])
def test_pytorch_runs_every_network_without_mxnet(names, written_networks):
    """In a process that can import neither MXNet nor this project."""
    folders = [folder for name in names for folder in sorted(written_networks.glob(f"{name}-*"))]
    assert {folder.name.rpartition("-")[0] for folder in folders} == set(names)
    written = [folder.name for folder in folders]
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["mxnet", "network", "engine", "compat"]))
import pathlib, numpy, torch
for folder in map(pathlib.Path, {written}):
    net = torch.export.load(str(folder / "torch.pt2")).module()
    found = net(torch.from_numpy(numpy.load(folder / "images.npy"))).detach().numpy()
    expected = numpy.load(folder / "logits.npy")
    assert abs(found - expected).max() <= 1e-4 * abs(expected).max(), folder
    print(folder)
"""
    assert run_alone(code, written_networks).split() == written


def run_alone(code, folder):
    """What ``code`` prints in a process of its own, in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_documents_lines_run_exported_files(exported, tmp_path):
    page = (Path(__file__).resolve().parent.parent / "docs" / "export.md").read_text("utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    snippets = [code for code in snippets if "exported/" in code]
    for kind in ("onnx", "symbol"):
        files = exported("--format", kind, "--from-pixels")
        shutil.copytree(files, tmp_path / "exported", dirs_exist_ok=True)
    (tmp_path / "docs").mkdir()
    Image.fromarray(random_pixels(1, size=40)[0]).save(tmp_path / "docs" / "digit.png")
    first, second = (run_alone(code + "\nprint(logits.shape)", tmp_path) for code in snippets)
    name, shape = first.splitlines()
    assert name in get_spec("cifar10").class_names
    assert shape == second.strip() == "(1, 10)"


@pytest.mark.slow
def test_the_documents_lines_train_an_exported_program(fractal, exported, tmp_path, capsys):
    page = (Path(__file__).resolve().parent.parent / "docs" / "export.md").read_text("utf-8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "tune/" in c)
    shutil.copytree(exported("--format", "torch", "--trainable"), tmp_path / "tune")
    after = """
try:
    net.eval()
except NotImplementedError:
    print(loss.item() < 0.5, net.graph is not None)
"""
    assert run_alone(code + after, tmp_path) == "True True\n"
    evaluate.main([str(fractal), "--parameters", str(tmp_path / "tune" / "tuned.safetensors")])
    assert "with tuned.safetensors on cifar10" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPORT_FORMATS)
def test_a_description_says_how_to_run_its_files(fractal, exported, tmp_path, kind):
    """Its lines, in a process that knows nothing of this project, with nothing said before."""
    shutil.copytree(exported("--format", kind), tmp_path, dirs_exist_ok=True)
    usage = json.loads((tmp_path / f"network.{kind}.json").read_text())["usage"]
    x, _, logits = logits_of(fractal)
    np.save(tmp_path / "x.npy", x)
    before, after = "import numpy; images = numpy.load('x.npy')", "numpy.save('y.npy', logits)"
    run_alone("\n".join([before, *usage, after]), tmp_path)
    assert close(np.load(tmp_path / "y.npy"), logits)


@pytest.mark.slow
def test_a_trainable_program_trains_as_mxnet_and_comes_back(fractal, tmp_path, capsys):
    """Batch normalisation by the batch once its nodes say so; what it learns loads into the run."""
    from safetensors.torch import save_file

    written(fractal, tmp_path, "--format", "torch", "--trainable", "--column", "1")
    trained = evaluation.restore(fractal, "cpu")
    names = set(trained.engine.state_dict()[0])
    net = torch.export.load(str(tmp_path / "column1.pt2")).module()
    assert set(net.state_dict()) < names
    x, found, _ = logits_of(fractal)
    for node in net.graph.nodes:
        if node.target is torch.ops.aten.batch_norm.default:
            assert node.args[6] == pytest.approx(0.1)  # MXNet's momentum is 0.9
            node.args = (*node.args[:5], True, *node.args[6:])
    net.recompile()
    logits = net(torch.from_numpy(x))
    column = trained.engine.network(1)
    with autograd.train_mode():
        assert close(logits.detach().numpy(), column(mx.nd.array(x)).asnumpy())
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(found.labels).long()).backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= 0.1 * parameter.grad
    save_file(net.state_dict(), str(tmp_path / "tuned.safetensors"))
    back = evaluation.restore(fractal, "cpu", parameters=tmp_path / "tuned.safetensors")
    for node in net.graph.nodes:
        if node.target is torch.ops.aten.batch_norm.default:
            node.args = (*node.args[:5], False, *node.args[6:])
    net.recompile()
    expected = net(torch.from_numpy(x)).detach().numpy()
    assert close(back.engine.to_numpy(back.engine.predict(x, 1)), expected)


@pytest.mark.parametrize("flags", [(), pytest.param(("--trainable",), marks=pytest.mark.slow)])
def test_parameters_by_name(fractal, exported, flags):
    from safetensors.numpy import load_file

    file = exported("--format", "torch", *flags) / "network.safetensors"
    arrays = load_file(str(file))
    values, _ = evaluation.restore(fractal, "cpu").engine.state_dict()
    assert bool(set(arrays) - set(values)) != bool(flags)
    engine = evaluation.restore(fractal, "cpu", 1).engine
    if not flags:
        assert {re.sub("bias$", "weight", name) for name in arrays} < set(values)
        with pytest.raises(InputError, match="folded into the convolutions"):
            initialize_from(engine, file)
    else:
        assert all((arrays[name] == values[name]).all() for name in arrays)
        line = initialize_from(engine, file)
        assert f"{len(arrays)} of {len(values)} parameters" in line
        started, _ = engine.state_dict()
        assert all((arrays[name] == started[name]).all() for name in arrays)
    assert any("running_var" in name for name in arrays) == bool(flags)


def test_foreign_parameters_are_refused(fractal, exported, tmp_path, capsys):
    from safetensors.numpy import save_file

    shutil.copy(exported("--format", "torch") / "network.safetensors", tmp_path)
    save_file({"classifier_bias": np.zeros(3, np.float32)}, str(tmp_path / "small.safetensors"))
    save_file({"pixel_mean": np.zeros(3, np.float32)}, str(tmp_path / "empty.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    for name, message in (
        ("network", "--trainable of this run"),
        ("small", "classifier_bias has shape (3,)"),
        ("empty", "has no array of the network"),
        ("bad", "cannot be read"),
        ("none", "none.safetensors"),
    ):
        flags = ["--parameters", tmp_path / f"{name}.safetensors"]
        status, err = refused(capsys, fractal, *flags, main=evaluate.main)
        assert status == 2
        assert message in err


def test_a_data_type_that_numpy_lacks_is_named(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(3).to(torch.float8_e4m3fn)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(InputError, match="that NumPy lacks .*float8_e4m3fn.*: save it as float32"):
        parameter_files.read_safetensors(tmp_path / "x.safetensors")


def test_a_set_of_files_never_mixes_with_an_older_one(tmp_path, monkeypatch):
    """Whatever call a crash comes at, what is there is of one set."""
    names = ["a", "b", "a.json"]
    for steps in range(7):
        folder, aside = tmp_path / f"{steps}", tmp_path / f"aside{steps}"
        for each, text in ((folder, "old"), (aside, "new")):
            each.mkdir()
            for name in names:
                (each / name).write_text(text)
        left = iter(range(steps))

        def crash(call, left=left):
            def until(*args, **kwargs):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return call(*args, **kwargs)

            return until

        with monkeypatch.context() as patch:
            patch.setattr(exporting.Path, "unlink", crash(exporting.Path.unlink))
            patch.setattr(exporting.os, "replace", crash(exporting.os.replace))
            try:
                exporting.replace_set([aside / name for name in names], folder)
                assert steps == 6
            except KeyboardInterrupt:
                assert steps < 6
        there = {name: (folder / name).read_text() for name in names if (folder / name).exists()}
        assert len(set(there.values())) <= 1
        assert "a.json" not in there or len(there) == 3  # the description stands for a whole set
    assert there == dict.fromkeys(names, "new")


@pytest.mark.parametrize("kind", RUN)
@pytest.mark.parametrize("part", [None, 1])
def test_files_of_a_run_give_its_logits(fractal, exported, kind, part):
    folder = exported("--format", kind, *([] if part is None else ["--column", str(part)]))
    x, _, logits = logits_of(fractal, part)
    name = "network" if part is None else "column1"
    assert close(RUN[kind](folder, name, x), logits)
    described = json.loads((folder / f"{name}.{kind}.json").read_text())
    assert (described["column"], described["depth"], described["epoch"]) == (part, 10, 2)
    assert described["input"]["shape"] == ["batch", 3, 32, 32]
    assert described["classes"][9] == "truck"
    assert not described["normalized_inside"]


@pytest.mark.parametrize(
    "flags", [pytest.param((), marks=pytest.mark.slow), ("--from-pixels", "--column", "0")]
)
def test_files_of_8_bits_lose_little(fractal, tmp_path, capsys, flags):
    pytest.importorskip("onnxruntime.quantization")
    flags = ["--format", "onnx", "--int8", "--int8-tolerance", "100", *flags]
    written(fractal, tmp_path, *flags)
    name = "column0" if "--column" in flags else "network"
    found = json.loads((tmp_path / f"{name}-int8.onnx.json").read_text())["int8"]
    x, images, logits = logits_of(fractal, 0 if "--column" in flags else None)
    x = images.pixels.astype(np.float32) if "--from-pixels" in flags else x
    y = run_onnx(tmp_path, f"{name}-int8", x)
    assert np.abs(y - logits).mean() < 0.1 * np.abs(logits).mean()
    assert not close(y, logits)
    assert found["error"] == 100 * np.mean(y.argmax(axis=1) != images.labels)
    assert found["error_float32"] == 100 * np.mean(logits.argmax(axis=1) != images.labels)
    assert found["images"] == "test"
    assert (found["calibration_images"], found["calibration_seed"]) == (256, 0)
    assert found["distinct_images"] == 130
    size = (tmp_path / f"{name}-int8.onnx").stat().st_size
    assert found["bytes"] == size < 0.4 * found["bytes_float32"]
    model = onnx.load(str(tmp_path / f"{name}-int8.onnx"))
    kinds = {each.data_type for each in model.graph.initializer if each.dims[2:] == [3, 3]}
    assert kinds == {onnx.TensorProto.INT8}
    assert f"int8: test error {found['error_float32']:.2f}% before" in capsys.readouterr().out


@pytest.mark.slow
def test_files_of_8_bits_that_lose_more_are_not_written(fractal, tmp_path, capsys):
    pytest.importorskip("onnxruntime.quantization")
    flags = ["--format", "onnx", "--int8", "--int8-tolerance", "-100.5", "--out", tmp_path]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 1
    assert "above --int8-tolerance -100.5" in err
    assert not [*tmp_path.iterdir()]


def test_images_for_calibration_are_checked_first(fractal, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxruntime.quantization")
    monkeypatch.setattr(script, "export_network", None)  # is not called
    write_random_rec(tmp_path / "train.rec", 20, classes=10)
    write_random_rec(tmp_path / "test.rec", 20, classes=10)
    flags = ["--format", "onnx", "--int8", "--out", tmp_path / "out", "--data-dir", tmp_path]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2 and "the training images are not those of the run" in err


@pytest.mark.parametrize("kind", RUN)
def test_files_can_take_pixels(fractal, exported, kind):
    folder = exported("--format", kind, "--from-pixels")
    _, found, logits = logits_of(fractal)
    assert found.pixels.dtype == np.uint8
    assert close(RUN[kind](folder, "network", found.pixels.astype(np.float32)), logits)
    described = json.loads((folder / f"network.{kind}.json").read_text())
    assert described["normalized_inside"]
    assert described["input"]["values"] == "RGB, 0 to 255"


@pytest.mark.slow
def test_a_column_runs_alone(fractal, tmp_path):
    """In a process that knows nothing of this project but its NumPy."""
    written(fractal, tmp_path, "--format", "symbol", "--column", "0")
    arguments = mx.sym.load(str(tmp_path / "column0-symbol.json")).list_inputs()
    assert not [name for name in arguments if "column1" in name]
    assert "Dropout" not in (tmp_path / "column0-symbol.json").read_text()
    x, _, logits = logits_of(fractal, 0)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import numpy as np; np.bool = np.bool_; import mxnet as mx; net = mx.gluon.SymbolBlock."
        "imports('column0-symbol.json', ['data'], 'column0-0000.params'); "
        "np.save('y.npy', net(mx.nd.array(np.load('x.npy'))).asnumpy())"
    )
    run_alone(code, tmp_path)
    assert close(np.load(tmp_path / "y.npy"), logits)


@pytest.mark.slow
def test_a_column_that_the_epoch_did_not_test_has_estimated_averages(fractal, tmp_path):
    written(fractal, tmp_path, "--format", "onnx", "--column", "1", "--epoch", "1")
    trained = evaluation.restore(fractal, "cpu", 1)
    run, engine = trained.run, trained.engine
    assert "column_errors" not in trained.row
    x, _, unestimated = logits_of(fractal, 1, epoch=1)
    evaluation.refresh_bn_statistics(run, trained.data, engine, 1)
    found = run_onnx(tmp_path, "column1", x)
    assert close(found, engine.to_numpy(engine.predict(x, 1)))
    assert not close(found, unestimated)


def test_weights_are_constants_and_hold_batch_normalisation(exported):
    model = onnx.load(str(exported("--format", "onnx") / "network.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.input] == ["data"]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


@pytest.mark.slow
def test_a_run_on_photographs_is_written(photographs, tmp_path):
    written(photographs, tmp_path, "--format", "onnx", "--from-pixels")
    described = json.loads((tmp_path / "network.onnx.json").read_text())
    assert described["classes"] == ["class0", "class1", "class2"]
    x, _, logits = logits_of(photographs)
    mean, std = (np.float32(described[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    assert close(run_onnx(tmp_path, "network", x * std + mean), logits)


@pytest.mark.slow
def test_nothing_is_left_of_files_that_are_wrong(fractal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", -1)
    flags = ["--format", "onnx", "--out", tmp_path]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 1
    assert "onnx differs from the network by" in err
    assert not [*tmp_path.iterdir()]


def test_nothing_is_left_of_files_that_cannot_be_written(fractal, tmp_path, capsys, monkeypatch):
    def full(*args):
        raise mx.MXNetError("stack\nno space")

    monkeypatch.setattr(mx.nd, "save", full)
    flags = ["--format", "symbol", "--out", tmp_path / "a" / "b"]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2
    assert "no space" in err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_full_disk_is_one_line(fractal, tmp_path, capsys, kind):
    """PyTorch itself aborts the process."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        flags = ["--format", kind, "--out", tmp_path / "out"]
        status, err = refused(capsys, fractal, *flags, main=script.main)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 2 and "File too large" in err
    assert not (tmp_path / "out").exists()


def test_all_files_of_a_set_have_the_same_permissions(exported):
    modes = {path.suffix: path.stat().st_mode for path in exported("--format", "torch").iterdir()}
    assert len(modes) == 3 and len(set(modes.values())) == 1


def test_a_diverged_network_is_not_written(fractal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(MXNetEngine, "to_numpy", lambda *arguments: np.array([[0, np.nan]]))
    flags = ["--format", "symbol", "--out", tmp_path / "out"]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2 and "logits are not finite numbers: its training diverged" in err
    assert not (tmp_path / "out").exists()


def test_other_logits_are_a_difference():
    x, y = np.zeros((3, 1)), np.array([[1.0, 2], [3, -4], [0, 0]])
    assert exporting.largest_difference(lambda part: y[: len(part)], x, y) == 6 / 4
    assert exporting.largest_difference(lambda part: y[: len(part)], x[:1], y[:1]) == 0


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_network_that_a_format_cannot_hold_is_refused(tmp_path, kind):
    graph = mx.sym.contrib.fft(mx.sym.flatten(mx.sym.var("data")))
    with pytest.raises(InputError, match="cannot be written .*fft.*with format symbol"):
        EXPORT_FORMATS[kind].write(graph, {}, (3, 32, 32), tmp_path / "network")


@pytest.mark.parametrize(
    "kind,package",
    [(kind, package) for kind, each in EXPORT_FORMATS.items() for package in each.packages],
)
def test_a_missing_package_is_named(fractal, tmp_path, capsys, monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    flags = ["--format", kind, "--out", tmp_path / "out"]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2
    assert package in err and f"pip install -e '.[{kind}]'" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--column", "2"], "0 to 1"),
        (["--column", "-1"], "0 to 1"),
        (["--epoch", "7"], "there are: [1, 2]"),
        (["--data-dir", "nowhere"], "there is no nowhere"),
        (["--format", "caffe"], "--format"),
        (["--out", "/proc/self"], "/proc/self"),
        (["--trainable"], "--trainable is for --format torch"),
        (["--int8"], "--int8 is for --format onnx"),
        (["--format", "onnx", "--int8-tolerance", "1"], "--int8-tolerance is for --int8"),
        (["--format", "onnx", "--int8", "--int8-tolerance", "nan"], "must be a number, not nan"),
    ],
)
def test_bad_input_is_one_line(fractal, tmp_path, capsys, flags, message):
    flags = ["--format", "symbol", "--out", tmp_path / "out", *flags]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_trainable_program_of_an_older_pytorch_is_refused(fractal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    flags = ["--format", "torch", "--trainable", "--out", tmp_path / "out"]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2
    assert "needs PyTorch 2.6 or later, not 2.5.1+cpu" in err


def test_only_columns_can_be_written_apart(photographs, tmp_path, capsys):
    flags = ["--format", "symbol", "--out", tmp_path / "out", "--column", "0"]
    status, err = refused(capsys, photographs, *flags, main=script.main)
    assert status == 2
    assert "gluoncv:mobilenet0.25 has no columns" in err
