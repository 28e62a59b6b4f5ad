"""Exported files, in programs that know nothing of this project, give what the network gives."""

import json
import subprocess
import sys

import mxnet as mx
import numpy as np
import onnx
import onnxruntime
import pytest

import export as script
import train_cifar
import train_imagenet
from command import InputError
from network import exporter, list_models
from network.graph import to_symbol
from tests.photo_files import write_photographs
from tests.record_files import write_random_rec
from tests.test_all_networks import images, make
from tests.test_scripts import refused
from training import evaluation

pytestmark = pytest.mark.medium

FLAGS = ["--num-epochs", "2", "--checkpoint-epochs", "1", "--quiet"]


@pytest.fixture(scope="module", autouse=True)
def few_observed():
    """Averages estimated from three batches, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BN_BATCHES", 3)
        yield


@pytest.fixture(scope="module")
def fractal(tmp_path_factory):
    """Folder of a short run with dropout and drop-path."""
    top = tmp_path_factory.mktemp("fractal")
    write_random_rec(top / "train.rec", 130, classes=10)
    write_random_rec(top / "test.rec", 53, classes=10)
    network = ["--network", "fractal", "--depth", "10", "--batch-size", "30"]
    train_cifar.main([*network, *FLAGS, "--data-dir", str(top), "--log-dir", str(top)])
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


RUN = {"symbol": run_symbol, "onnx": run_onnx}


def close(y, z):
    return np.abs(y - z).max() <= 1e-4 * np.abs(z).max()


def written(run, folder, *flags):
    script.main([str(run), "--out", str(folder), *flags])


def logits_of(run, part=None, epoch=None):
    """Normalised test images, their pixels, and what the network says of them."""
    trained = evaluation.restore(run, "cpu", epoch)
    data, engine = trained.data, trained.engine
    (batch,) = data.test_batches(data.test_set, 100)
    return batch.images, data.test_set, engine.to_numpy(engine.predict(batch.images, part))


@pytest.mark.parametrize("name", list_models())
def test_every_network_and_its_parts_can_be_written(name, tmp_path):
    """With moving averages that matter, and more images at once than the files were made with."""
    net, x = make(name), images(name, 3)
    rng = np.random.default_rng(1)
    for name, parameter in net.collect_params(".*running").items():
        lowest, highest = (0.5, 1.5) if name.endswith("var") else (-0.1, 0.1)
        parameter.set_data(mx.nd.array(rng.uniform(lowest, highest, parameter.shape)))
    for part in [net, *getattr(net, "subnetworks", ())][:2]:
        logits, graph = part(x).asnumpy(), to_symbol(part)
        values = {name: p.data() for name, p in part.collect_params().items()}
        values = {name: values[name] for name in graph.list_inputs() if name in values}
        for kind in exporter.EXPORT_FORMATS:
            place = tmp_path / kind
            how = (graph, values, x.shape[1:], kind, place, {}, x.asnumpy(), logits)
            files, difference = exporter.export(*how)
            assert difference < 1e-5
            assert all(file.stat().st_size for file in files)
        several = mx.nd.concat(x, 2 * x, dim=0)
        assert close(run_onnx(tmp_path, "onnx", several.asnumpy()), part(several).asnumpy())


@pytest.mark.parametrize("kind", RUN)
@pytest.mark.parametrize("part", [None, 1])
def test_files_of_a_run_give_its_logits(fractal, tmp_path, kind, part):
    flags = [] if part is None else ["--column", str(part)]
    written(fractal, tmp_path, "--format", kind, *flags)
    x, _, logits = logits_of(fractal, part)
    name = "network" if part is None else "column1"
    assert close(RUN[kind](tmp_path, name, x), logits)
    described = json.loads((tmp_path / f"{name}.{kind}.json").read_text())
    assert (described["column"], described["depth"], described["epoch"]) == (part, 10, 2)
    assert described["input"]["shape"] == ["batch", 3, 32, 32]
    assert described["classes"][9] == "truck"
    assert not described["normalized_inside"]


@pytest.mark.parametrize("kind", RUN)
def test_files_can_take_pixels(fractal, tmp_path, kind):
    written(fractal, tmp_path, "--format", kind, "--from-pixels")
    _, found, logits = logits_of(fractal)
    assert found.pixels.dtype == np.uint8
    assert close(RUN[kind](tmp_path, "network", found.pixels.astype(np.float32)), logits)
    described = json.loads((tmp_path / f"network.{kind}.json").read_text())
    assert described["normalized_inside"]
    assert described["input"]["values"] == "RGB, 0 to 255"


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
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert close(np.load(tmp_path / "y.npy"), logits)


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


def test_weights_are_constants_and_hold_batch_normalisation(fractal, tmp_path):
    written(fractal, tmp_path, "--format", "onnx")
    model = onnx.load(str(tmp_path / "network.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.input] == ["data"]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_a_run_on_photographs_is_written(photographs, tmp_path):
    written(photographs, tmp_path, "--format", "onnx", "--from-pixels")
    described = json.loads((tmp_path / "network.onnx.json").read_text())
    assert described["classes"] == ["class0", "class1", "class2"]
    x, _, logits = logits_of(photographs)
    mean, std = (np.float32(described[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    assert close(run_onnx(tmp_path, "network", x * std + mean), logits)


def test_nothing_is_left_of_files_that_are_wrong(fractal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exporter, "TOLERANCE", -1)
    flags = ["--format", "onnx", "--out", tmp_path]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 1
    assert "onnx differs from the network by" in err
    assert not [*tmp_path.iterdir()]


def test_nothing_is_left_of_files_that_cannot_be_written(fractal, tmp_path, capsys, monkeypatch):
    def full(*args):
        raise mx.MXNetError("stack\nno space")

    monkeypatch.setattr(mx.nd, "save", full)
    flags = ["--format", "symbol", "--out", tmp_path]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2
    assert "no space" in err
    assert not [*tmp_path.iterdir()]


def test_other_logits_are_a_difference():
    x, y = np.zeros((3, 1)), np.array([[1.0, 2], [3, -4], [0, 0]])
    assert exporter.largest_difference(lambda part: y[: len(part)], x, y) == 6 / 4
    assert exporter.largest_difference(lambda part: y[: len(part)], x[:1], y[:1]) == 0


def test_a_network_that_onnx_cannot_hold_is_refused(tmp_path):
    graph = mx.sym.contrib.fft(mx.sym.flatten(mx.sym.var("data")))
    with pytest.raises(InputError, match="cannot be written as ONNX.*fft"):
        exporter.write_onnx(graph, {}, (3, 32, 32), tmp_path / "network")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(fractal, tmp_path, capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    flags = ["--format", "onnx", "--out", tmp_path / "out"]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2
    assert package in err and "pip install -e '.[onnx]'" in err
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
    ],
)
def test_bad_input_is_one_line(fractal, tmp_path, capsys, flags, message):
    flags = ["--format", "symbol", "--out", tmp_path / "out", *flags]
    status, err = refused(capsys, fractal, *flags, main=script.main)
    assert status == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_only_columns_can_be_written_apart(photographs, tmp_path, capsys):
    flags = ["--format", "symbol", "--out", tmp_path / "out", "--column", "0"]
    status, err = refused(capsys, photographs, *flags, main=script.main)
    assert status == 2
    assert "gluoncv:mobilenet0.25 has no columns" in err
