"""Settings of a run: from flags to config.json and back, and what a run does by them."""

import json
import os
import shutil
from dataclasses import asdict, fields, replace
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

import train_cifar
from command import CommandError, InputError
from data import spec
from engine.distributed import Alone
from engine.optimizer_state import OptimizerState
from engine.torch_process import require_compiler
from network import get_model
from network.folding import simplify
from network.graph import to_symbol
from tests.test_resume import result
from tests.test_scripts import FAST, refused, train
from training import cli, evaluation, initialization, messages, parameter_files
from training.fitting import _enough_memory, _resumable
from training.messages import describe_resuming
from training.meter import Divergence
from training.recipe import RECIPES, Recipe, get_recipe
from training.run import Run, RuntimeConfig
from training.run_data import RunData
from training.run_folder import read_config
from training.run_log import NoLog, read_log
from training.trainer import Trainer

pytestmark = pytest.mark.medium


def test_every_value_of_a_recipe_has_a_flag(data, tmp_path, capsys):
    flags = ["--schedule", "cosine", "--warmup-epochs", "0.5", "--momentum", "0.8", "--lr", "1"]
    flags += ["--optimizer", "sgd", "--decayed", "weights", "--initializer", "xavier"]
    flags += ["--momentum-correction", "on", "--clip-norm", "1", "--ema-decay", "0.9"]
    flags += ["--label-smoothing", "0.1", "--mixup", "0.2", "--cutout", "8", "--print-config"]
    train_cifar.main([*FAST, "--data-dir", str(data), "--log-dir", str(tmp_path), *flags])
    config = json.loads(capsys.readouterr().out)
    recipe = config["recipe"]
    assert config["format"] == 2 and Run.from_json(config).recipe.to_json() == recipe
    assert recipe["lr"] == 1.0 and isinstance(recipe["lr"], float)
    names = ("schedule", "warmup_epochs", "momentum", "optimizer", "decayed", "initializer")
    assert [recipe[n] for n in names] == ["cosine", 0.5, 0.8, "sgd", "weights", "xavier"]
    names = ("momentum_correction", "clip_norm", "ema_decay", "label_smoothing", "mixup", "cutout")
    assert [recipe[n] for n in names] == [True, 1.0, 0.9, 0.1, 0.2, 8]
    parsed = vars(cli.make_parser(train_cifar.PROGRAM).parse_args([]))
    assert {field.name for field in fields(Recipe)} <= set(parsed)
    assert list(tmp_path.iterdir()) == []  # nothing was trained


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--network", "cross", "--dropout", "0.1"], "dropout"),
        (["--network", "cross", "--drop-path", "local"], "drop-path is for FractalNet"),
        (["--depth", "3"], "depth 3 leaves a stage without blocks"),
        (["--log-columns"], "columns"),
    ],
)
def test_settings_that_training_refuses_are_not_printed(flags, words, capsys):
    status, line = refused(capsys, "--print-config", *flags)
    assert status == 2 and words in line


def test_settings_for_another_machine_are_printed(capsys):
    train_cifar.main(["--network=cross", "--depth=56", "--gpus=0,1", "--print-config"])
    assert json.loads(capsys.readouterr().out)["machine"]["gpus"] == "0,1"


def test_a_run_resumes_by_its_own_settings_whatever_recipes_are_registered(
    data, tmp_path, monkeypatch
):
    where = ["--data-dir", str(data), "--log-dir", str(tmp_path)]
    train_cifar.main([*FAST, *where, "--num-epochs", "2"])
    (folder,) = (tmp_path / "cifar10" / "plain_d5w1").iterdir()
    recipe = read_config(folder)["recipe"]
    shutil.rmtree(folder / "checkpoints" / "epoch0002")
    edited = replace(get_recipe("deep-fusion"), lr=0.7, epochs=9)
    monkeypatch.setitem(RECIPES, "deep-fusion", edited)
    train_cifar.main(["--resume", str(folder), "--quiet"])
    assert read_config(folder)["recipe"] == recipe
    assert [row["lr"] for row in read_log(folder)] == pytest.approx([0.1, 1e-4])


def test_a_config_of_a_later_format_is_refused_and_one_without_is_read(data, tmp_path, capsys):
    where = ["--data-dir", str(data), "--log-dir", str(tmp_path)]
    train_cifar.main([*FAST, *where])
    (folder,) = (tmp_path / "cifar10" / "plain_d5w1").iterdir()
    config = read_config(folder)
    config.pop("format")
    for name in ("schedule", "warmup_epochs", "ema_decay", "early_stop"):
        config["recipe"].pop(name)  # as they were written before there were these
    (folder / "config.json").write_text(json.dumps(config))
    train_cifar.main(["--resume", str(folder)])
    assert "finished already" in capsys.readouterr().out
    (folder / "config.json").write_text(json.dumps({**config, "format": 3}))
    status, err = refused(capsys, "--resume", folder)
    assert status == 2 and "reads formats up to 2" in err


def test_the_end_of_a_run_says_last_and_lowest_error(data, tmp_path, capsys):
    train(data, tmp_path, "--num-epochs", "3")
    said = capsys.readouterr().out
    rows = read_log(tmp_path / "cifar10" / "plain_d5w1" / "run1")
    lowest = min(row["test_error"] for row in rows)
    assert f"test error  {rows[-1]['test_error']:.2f}% after the last epoch" in said
    assert f"lowest {lowest:.2f}% after epoch" in said


def test_early_stopping_goes_by_held_out_images_and_keeps_the_best(data, tmp_path, capsys):
    status, err = refused(capsys, *FAST, "--data-dir", data, "--early-stop", "1")
    assert status == 2 and "--early-stop needs held-out images" in err
    flags = ["--num-epochs", "40", "--val-split", "30", "--early-stop", "2", "--lr", "1e-9"]
    train(data, tmp_path, *flags, "--checkpoint-epochs", "100")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    rows = read_log(folder)
    errors = [row["test_error"] for row in rows]
    assert len(rows) < 40 and rows[-1]["stopped_early"]
    best = errors.index(min(errors)) + 1
    assert len(rows) - best == 2
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {f"epoch{best:04d}", f"epoch{len(rows):04d}"}
    train_cifar.main(["--resume", str(folder)])
    assert "finished already" in capsys.readouterr().out


def test_a_run_that_stops_early_ends_with_the_errors_of_its_columns(data, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "BN_BATCHES", 3)
    flags = ["--network", "fractal", "--depth", "10", "--num-epochs", "9", "--batch-size", "50"]
    flags += ["--val-split", "30", "--early-stop", "1", "--lr", "1e-9", "--quiet"]
    train_cifar.main([*flags, "--data-dir", str(data), "--log-dir", str(tmp_path)])
    *before, last = read_log(tmp_path / "cifar10" / "fractal_d10w1" / "run1")
    assert last["stopped_early"] and len(before) < 8
    assert not any("column_errors" in row for row in before)
    assert len(last["column_errors"]) == len(last["column_losses"]) == 2


def test_a_depth_that_is_rounded_down_and_drops_at_once_are_said(data, tmp_path, capsys):
    flags = ["--num-epochs", "2", "--depth", "6"]
    train_cifar.main(
        ["--network", "plain", *flags, "--data-dir", str(data), "--log-dir", str(tmp_path)]
    )
    said = capsys.readouterr().out
    assert "builds the same network" not in said  # plain blocks are one deep
    assert "drops 3 times at once before epoch 2" in said
    config = read_config(tmp_path / "cifar10" / "plain_d6w1" / "run1")
    assert config["built_depth"] == 6
    flags = ["--network", "resnet", "--depth", "9", "--num-epochs", "1", "--quiet"]
    train_cifar.main([*flags, "--data-dir", str(data), "--log-dir", str(tmp_path)])
    folder = tmp_path / "cifar10" / "resnet_d9w1" / "run1"
    assert "depth 9 builds the same network as depth 8" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    "dataset, augmentation, warned",
    [
        ("mnist", "+", True),
        ("digits", "++", True),
        ("svhn", "none", False),
        ("cifar10", "+", False),
    ],
)
def test_mirrored_digits_are_warned_of(dataset, augmentation, warned):
    recipe = get_recipe("fast", augmentation=augmentation)
    run = Run("plain", 5, dataset, "nowhere", "fast", recipe)
    lines = list(messages._warn(run, SimpleNamespace(built_depth=None)))
    assert any("use --aug-type 0" in line for line in lines) == warned


def test_a_run_starts_from_another(data, tmp_path, capsys):
    train(data, tmp_path)
    first = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    odd = tmp_path / os.fsdecode(b"\xff\xfe")  # no UTF-8
    odd.mkdir()
    shutil.copy(first / "checkpoints" / "epoch0001" / "net.params", odd)
    for source in (first, odd / "net.params"):
        train(data, tmp_path, "--init-from", str(source), "--lr", "0")
        assert "started from" in capsys.readouterr().out
    values = [mx.nd.load(str(path)) for path in sorted(tmp_path.glob("**/epoch0001/net.params"))]
    for name, array in values[0].items():
        if "running" not in name:
            assert (array.asnumpy() == values[1][name].asnumpy()).all()
            assert (array.asnumpy() == values[2][name].asnumpy()).all()
    for wrong, message in (
        ("nowhere", "--init-from must be a run's folder"),
        (data / "test.rec", "holds no parameters"),
    ):
        status, err = refused(
            capsys, *FAST, "--data-dir", data, "--log-dir", tmp_path, "--init-from", wrong
        )
        assert status == 2 and message in err
    assert len(list(first.parent.iterdir())) == 3  # what is refused leaves no folder


def test_a_run_that_starts_from_another_is_resumed_in_any_folder(data, tmp_path, monkeypatch):
    train(data, tmp_path)
    first = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    monkeypatch.chdir(first.parent)
    train(data, tmp_path, "--init-from", "run1", "--num-epochs", "2", "--checkpoint-epochs", "1")
    second = first.with_name("run2")
    assert read_config(second)["init_from"] == str(first)
    before = result(second)
    shutil.rmtree(second / "checkpoints")
    (second / "log.jsonl").unlink()
    monkeypatch.chdir(tmp_path)
    train_cifar.main(["--resume", str(second), "--quiet"])
    assert result(second) == before
    row = (second / "log.jsonl").read_text().splitlines(True)[0]
    shutil.rmtree(first)  # is needed no more
    for rows in (row, "", "damaged\n"):  # a full disk may end a run before it writes the first row
        shutil.rmtree(second / "checkpoints" / "epoch0002")
        (second / "log.jsonl").write_text(rows)
        train_cifar.main(["--resume", str(second), "--quiet"])
        assert result(second) == before


@pytest.mark.parametrize(("rank", "error", "stops"), [(0, 9, True), (1, 9, False), (1, 3, True)])
def test_the_first_worker_decides_whether_all_stop_early(rank, error, stops):
    """The other's own errors do not count: here it would stop only where the error rises."""
    run = SimpleNamespace(recipe=Recipe(epochs=9, early_stop=1))
    workers = SimpleNamespace(sum=lambda own: own if rank == 0 else np.array([float(stops)]))
    worker = object.__new__(Trainer)
    worker._run, worker._first, worker._log = run, rank == 0, NoLog()
    worker._engine = SimpleNamespace(workers=workers)
    rows = [{"epoch": 1, "test_error": 5}, {"epoch": 2, "test_error": error}]
    assert worker._stops_early(rows) is stops
    assert rows[-1].get("stopped_early", False) is stops


def test_a_worker_without_the_runs_folder_names_none_in_its_errors():
    run, workers = SimpleNamespace(recipe=Recipe(epochs=1)), SimpleNamespace(rank=1)
    with pytest.raises(CommandError, match="^a device is out of memory"):  # noqa: SIM117
        with _resumable(None, run, RuntimeConfig(), workers):
            raise RuntimeError("CUDA out of memory")
    worker = object.__new__(Trainer)
    worker._run, worker._folder, worker._first, worker._log = run, None, False, NoLog()
    worker._config = SimpleNamespace(tensorboard=False)
    worker._engine, worker._steps = SimpleNamespace(workers=Alone()), 4
    worker._begin, worker._train_epoch = (lambda rows: None), diverge
    with pytest.raises(CommandError, match="^in epoch 1 the loss exploded to 1.0e.05 at step 3, "):
        worker.train()


def diverge(epoch, clock):
    raise Divergence(1e5, "step", 3)


def test_the_command_that_resumes_a_run_is_a_training_program(tmp_path, monkeypatch):
    machine = asdict(RuntimeConfig(gpus="0"))
    (tmp_path / "config.json").write_text(json.dumps({"data_dir": "d", "machine": machine}))
    for argv, classes, program in (
        ("reproduce.py", None, "train_cifar.py"),
        ("mine.py", 10, "train_imagenet.py"),
        ("../train_cifar.py", None, "../train_cifar.py"),
    ):
        monkeypatch.setattr("sys.argv", [argv])
        run = SimpleNamespace(classes=classes, data_dir="d")
        words = describe_resuming(tmp_path, run, RuntimeConfig(gpus="0"), "").split()
        assert words == ["python", program, "--resume", str(tmp_path)]


@pytest.mark.parametrize(
    "changes,flags",
    [
        ({"gpus": "cpu"}, ["--gpus", "cpu"]),
        ({"engine": "torch", "compile": True}, ["--engine", "torch", "--compile", "on"]),
        ({"tensorboard": False, "wait_limit": 1}, ["--wait-limit", "1", "--tensorboard", "off"]),
        ({"log_dir": "elsewhere", "on_divergence": "continue"}, ["--on-divergence", "continue"]),
    ],
)
def test_the_command_that_resumes_a_run_repeats_the_flags_of_the_machine(tmp_path, changes, flags):
    started = RuntimeConfig(gpus="0", tensorboard=True)
    config = replace(started, **changes)
    text = json.dumps({"data_dir": "d", "machine": asdict(started)})
    (tmp_path / "config.json").write_text(text)
    run = SimpleNamespace(classes=None, data_dir="d")
    words = describe_resuming(tmp_path, run, config, "").split()
    assert words == ["python", "train_cifar.py", "--resume", str(tmp_path), *flags]


@pytest.mark.parametrize(
    "flags,words",
    [
        (["--network", "cros"], "did you mean cross"),
        (["--depth", "3"], "depth"),
        (["--drop-path", "mixed"], "has no columns"),
        (["--network", "gluoncv:resnet18_v1", "--dropout", "0.1"], "no option --dropout: give 0"),
        (["--gpus", "7"], "there is no GPU 7"),
        (["--init-from", "nowhere"], "--init-from must be a run's folder"),
        (["--exp-name", "published"], "--exp-name must not be"),
        (["--log-columns"], "cross has no columns"),
    ],
)
def test_what_is_impossible_is_refused_before_a_download(
    tmp_path, monkeypatch, capsys, flags, words
):
    downloads = []
    monkeypatch.setattr(spec, "project_folder", lambda: tmp_path)
    monkeypatch.setattr(train_cifar, "ensure_prepared", lambda name, say: downloads.append(name))
    status, err = refused(capsys, *flags, "--log-dir", tmp_path)
    assert status == 2 and words in err and not downloads
    status, err = refused(capsys, "--log-dir", tmp_path)
    assert "there is no" in err and downloads == ["cifar10"]


def test_what_a_network_does_not_share_starts_at_random(data, tmp_path, capsys):
    train(data, tmp_path)
    first = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    flags = ["--network", "resnet", "--depth", "8", "--num-epochs", "1", "--init-from", str(first)]
    train_cifar.main([*flags, "--data-dir", str(data), "--log-dir", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"started from {first}: " in said
    assert "random, because they are not there: stage1_block1_branch" in said
    assert "there, but not in this network: stage1_block1_" in said
    assert "shapes differ" not in said


def test_a_classifier_of_other_classes_starts_at_random_and_says_so():
    taken = {}
    values = {"classifier_weight": np.ones((2, 3)), "stem_weight": np.zeros(4)}
    engine = SimpleNamespace(
        state_dict=lambda: (values, {}), load_state_dict=lambda found, state: taken.update(found)
    )
    given = {"classifier_weight": np.zeros((10, 3)), "stem_weight": np.full(4, 7)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initialization, "load_parameters", lambda source: given)
        line = initialization.initialize_from(engine, "there")
    assert line == (
        "started from there: 1 of 2 parameters; random, because the shapes differ: "
        "classifier_weight (10x3 there, 2x3 here)"
    )
    assert (taken["stem_weight"] == 7).all() and (taken["classifier_weight"] == 1).all()


def made_engine(net):
    """What ``initialize_from`` needs of an engine, and the values that it loads."""
    loaded = {}
    values = {p.name[len(net.prefix) :]: p.data().asnumpy() for p in net.collect_params().values()}
    engine = SimpleNamespace(
        state_dict=lambda: (values, {}), load_state_dict=lambda found, state: loaded.update(found)
    )
    return engine, loaded


def made_net(*size):
    net = get_model(*size)
    net.initialize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    return net


@pytest.mark.parametrize(
    "there,here,words",
    [
        (("resnet", 8, 10, 2), ("resnet", 8, 10), "stem_conv0_weight with 32x3x3x3 there and 16x3"),
        (("fractal", 10, 10, 2), ("fractal", 10, 10), "32x3x3x3 there and 16x3x3x3 here"),
        (("fractal", 10, 10), ("resnet", 8, 10), "give a network of the same family and depth"),
    ],
)
def test_a_network_of_which_only_the_classifier_matches_is_refused(tmp_path, there, here, words):
    """Other widths have the classifier's bias in common; other families, perhaps all of it."""
    other = made_net(*there)
    other.collect_params().save(str(tmp_path / "net.params"), strip_prefix=other.prefix)
    engine, loaded = made_engine(made_net(*here))
    with pytest.raises(InputError, match=words) as found:
        initialization.initialize_from(engine, tmp_path / "net.params")
    assert found.value.argument == "init_from" and not loaded


def test_an_exported_network_is_refused_with_the_way_to_export_it(tmp_path):
    net = made_net("resnet", 8, 10)
    values = {parameter.name: parameter.data() for parameter in net.collect_params().values()}
    _, arrays = simplify(to_symbol(net), values)
    file = tmp_path / "net.params"
    mx.nd.save(str(file), {f"arg:{name}": array for name, array in arrays.items()})
    with pytest.raises(InputError, match="export the network with export.py --trainable"):
        initialization.initialize_from(made_engine(net)[0], file)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_refused(tmp_path, value):
    """They would fail in the first step, which would blame the learning rate."""
    net = made_net("resnet", 8, 10)
    engine, loaded = made_engine(net)
    net.classifier.bias.data()[3] = value
    net.collect_params().save(str(tmp_path / "net.params"), strip_prefix=net.prefix)
    with pytest.raises(InputError, match="classifier_bias in .*net.params has values that are not"):
        initialization.initialize_from(engine, tmp_path / "net.params")
    assert not loaded


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
        MemoryError("Unable to allocate 1 TiB for an array"),
        mx.MXNetError("std::bad_alloc"),
    ],
)
def test_a_lack_of_main_memory_is_one_too(error):
    with pytest.raises(CommandError, match="out of memory: lower batch_size"):  # noqa: SIM117
        with _enough_memory("lower batch_size", "batch_size"):
            raise error


@pytest.mark.parametrize(
    "place,advice",
    [
        ("fitting.build_engine", "another program may use it: choose others with --gpus"),
        ("trainer.Trainer.train", "run1: a device is out of memory: lower --batch-size"),
    ],
)
def test_a_device_without_enough_memory_is_an_error_of_one_line(
    data, tmp_path, capsys, monkeypatch, place, advice
):
    def fail(*args, **how):
        try:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        except RuntimeError:  # as recording does, which then ends
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904

    monkeypatch.setattr(f"training.{place}", fail)
    status, err = refused(capsys, *FAST, "--data-dir", data, "--log-dir", tmp_path / "snapshot")
    assert status and advice in err and "Traceback" not in err
    monkeypatch.setattr(f"training.{place}", lambda *args, **how: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_cifar.main([*FAST, "--data-dir", str(data), "--log-dir", str(tmp_path / "snapshot")])


def test_a_gpu_that_is_full_is_not_blamed_on_the_kv_store(data, tmp_path, capsys, monkeypatch):
    def fail(self):
        raise mx.MXNetError("cudaMalloc retry failed: out of memory")

    monkeypatch.setattr(mx.gluon.Trainer, "_init_kvstore", fail)
    _, err = refused(capsys, *FAST, "--data-dir", data, "--log-dir", tmp_path / "snapshot")
    assert "another program may use it" in err and "kv-store" not in err


def test_compiling_for_a_gpu_needs_a_c_compiler(monkeypatch):
    monkeypatch.setenv("CC", "no-compiler")
    with pytest.raises(
        InputError, match="compile needs a C compiler, and there is no 'no-comp.*CC"
    ):
        require_compiler("cuda")
    monkeypatch.delenv("CC")
    monkeypatch.setattr("shutil.which", lambda name: name if name == "clang" else None)
    require_compiler("cuda")


def test_compiling_without_a_compiler_is_refused(data, tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("CXX", "no-compiler")
    where = ["--data-dir", data, "--log-dir", tmp_path / "snapshot", "--gpus", "cpu"]
    status, err = refused(capsys, *FAST, *where, "--engine", "torch", "--compile")
    assert status == 2 and "--compile needs a C++ compiler, and there is no 'no-compiler'" in err
    assert not (tmp_path / "snapshot").exists()


@pytest.mark.parametrize("shapes", [[(2, 3)], [(3,)], []])
def test_arrays_without_names_are_refused(tmp_path, shapes):
    mx.nd.save(str(tmp_path / "net.params"), [mx.nd.zeros(shape) for shape in shapes])
    with pytest.raises(InputError, match="net.params has no arrays with names"):
        parameter_files.load_parameters(tmp_path / "net.params")


@pytest.mark.parametrize("averaged", [False, True])
def test_momenta_are_not_taken_for_parameters(tmp_path, averaged):
    net = made_net("resnet", 8, 10)
    engine, loaded = made_engine(net)
    values, _ = engine.state_dict()
    momenta = {name: value for name, value in values.items() if "running" not in name}
    state = OptimizerState(momenta, values if averaged else {}).to_arrays()
    arrays = {name: mx.nd.array(value) for name, value in state.items()}
    mx.nd.save(str(tmp_path / "optimizer.params"), arrays)
    with pytest.raises(InputError, match="give net.params, not optimizer.params"):
        initialization.initialize_from(engine, tmp_path / "optimizer.params")
    assert not loaded


@pytest.mark.parametrize("kinds", [False, True])
def test_parameters_under_the_names_of_other_writers_are_found(tmp_path, kinds):
    """Those of collect_params().save(), and those of exported files, with arg: and aux:."""
    net = made_net("resnet", 8, 10)
    engine, loaded = made_engine(net)
    values = net.collect_params()
    if kinds:
        named = {p.name: "aux:" if p.grad_req == "null" else "arg:" for p in values.values()}
        arrays = {f"{kind}{name}": values[name].data() for name, kind in named.items()}
        mx.nd.save(str(tmp_path / "net.params"), arrays)
    else:
        values.save(str(tmp_path / "net.params"))
    expected = {name[len(net.prefix) :]: p.data().asnumpy() for name, p in values.items()}
    line = initialization.initialize_from(engine, tmp_path / "net.params")
    assert line.endswith(f": {len(expected)} of {len(expected)} parameters")
    assert all((loaded[name] == value).all() for name, value in expected.items())


def test_photographs_with_held_out_images_are_refused():
    run = Run(
        network="resnet_imagenet",
        depth=26,
        dataset="photos",
        data_dir="nowhere",
        recipe_name="deep-fusion-imagenet",
        recipe=get_recipe("deep-fusion-imagenet"),
        val_split=5,
        data_shape=32,
        classes=3,
    )
    with pytest.raises(InputError, match="val_split 5: photographs are not held out"):
        RunData(run).facts()


MODERN = ["--recipe", "fast", "--num-epochs", "2", "--warmup-epochs", "1", "--batch-size", "32"]
MODERN += ["--mixup", "0.3", "--cutout", "8", "--label-smoothing", "0.1", "--ema-decay", "0.9"]
MODERN += ["--clip-norm", "1", "--checkpoint-epochs", "1", "--quiet"]


@pytest.mark.parametrize("engine", ["mxnet", "torch"])
def test_a_resumed_run_with_everything_on_equals_the_uninterrupted_one(data, tmp_path, engine):
    """Rates by the step, the momentum's correction, the average of the weights, what is drawn."""
    if engine == "torch":
        pytest.importorskip("torch")
    flags = ["--network", "fractal", "--depth", "10", "--drop-path", "mixed", "--engine", engine]
    where = ["--data-dir", str(data), "--log-dir", str(tmp_path)]
    train_cifar.main([*flags, *MODERN, *where])
    whole = tmp_path / "cifar10" / "fractal_d10w1" / "run1"
    killed = whole.with_name("run2")
    shutil.copytree(whole, killed)
    shutil.rmtree(killed / "checkpoints" / "epoch0002")
    rows = (killed / "log.jsonl").read_text().splitlines(True)
    (killed / "log.jsonl").write_text(rows[0])
    train_cifar.main(["--resume", str(killed), "--quiet"])
    assert result(killed) == result(whole)
    assert rows[0] != rows[1] and '"lr_last"' in rows[0]
