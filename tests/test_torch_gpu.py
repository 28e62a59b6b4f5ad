"""On a GPU: the PyTorch engine gives what it gives on the CPU, as CUDA graphs too."""

import mxnet as mx
import numpy as np
import pytest

import train_cifar
from data.records import Batch
from engine.cuda_graph import WARM_UP
from engine.optimizer import OptimizerSettings
from network import get_model
from network.initializer import DeepFusionInit
from tests.record_files import write_random_rec
from training.run_log import read_log

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("there is no GPU that PyTorch can use", allow_module_level=True)

from engine.torch_engine import TorchEngine  # noqa: E402

SETTINGS = OptimizerSettings(0.9, 1e-4)
ALL = OptimizerSettings(0.9, 1e-4, momentum_correction=True, clip_norm=0.5, ema_decay=0.9)
STATISTICS = {"mean": (125.3, 122.9, 113.8), "std": (63.0, 62.1, 66.7)}


def make(name, depth, device, settings=SETTINGS, **options):
    net = get_model(name, depth)
    net.initialize(DeepFusionInit(0))
    net(mx.nd.zeros((1, 3, 32, 32)))
    return TorchEngine(net, torch.device(device), settings, **options)


def assert_same_state(*engines, bound=1e-2):
    for ours, theirs in zip(*(engine.state_dict() for engine in engines)):
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            scale = max(np.abs(value).max(), 1e-2)
            assert np.abs(value - theirs[key]).max() < bound * scale, key


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name,depth", [("cross", 26), ("fractal", 20), ("ensemble", 14)])
def test_steps_are_the_cpus_before_and_after_recording(name, depth, compiled):
    engines = [make(name, depth, "cpu"), make(name, depth, "cuda", compile=compiled)]
    parts = (
        [engines[0].loss_weights]
        if engines[0].loss_weights
        else [{None: 1.0}, *({p: 1.0} for p in (0, 1))]
    )
    parts = parts if name != "cross" else [{None: 1.0}]
    rng = np.random.default_rng(0)
    for step in range((WARM_UP + 2) * len(parts)):
        images = rng.normal(size=(32, 3, 32, 32)).astype(np.float32)
        labels, weights = rng.integers(0, 10, 32), parts[step % len(parts)]
        sums = [engine.train_step(images, labels, 1e-3, weights) for engine in engines]
        losses = [engine.fetch([each])[0, 0] for engine, each in zip(engines, sums)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    # noise of 1e-6 in the images moves betas of fractal 20 by 2% of the largest in these steps
    assert_same_state(*engines, bound=5e-2 if name == "fractal" else 1e-2)


def test_steps_are_the_cpus_with_everything_on():
    """Smaller last batches, soft targets, new rates; a checkpoint and precise BN in between."""
    engines = [make("plain", 5, device, ALL) for device in ("cpu", "cuda")]
    rng = np.random.default_rng(0)
    for step in range(WARM_UP + 4):
        images = rng.normal(size=(32, 3, 32, 32)).astype(np.float32)
        labels, targets = rng.integers(0, 10, 32), rng.dirichlet(np.ones(10), 32)
        for engine in engines:
            engine.train_step(images, labels, 1e-2 / (step + 1), targets=targets)
            engine.train_step(images[:7], labels[:7], 1e-3)
        if step == WARM_UP + 1:
            saved = engines[0].state_dict()
        elif step == WARM_UP + 2:
            for engine in engines:
                engine.load_state_dict(*saved)
                engine.recompute_bn_statistics([Batch(images, labels)])
    assert_same_state(*engines)
    logits = [engine.to_numpy(engine.predict(images)) for engine in engines]
    assert np.abs(logits[0] - logits[1]).max() < 1e-2 * np.abs(logits[0]).max()


@pytest.mark.parametrize("dtype", ["tf32", "bfloat16"])
def test_fewer_bits_are_close_to_float32(dtype):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(WARM_UP + 2, 32, 3, 32, 32)).astype(np.float32)
    labels = rng.integers(0, 10, (WARM_UP + 2, 32))
    losses = []
    for each in ("float32", dtype):  # one after the other, because TF32 is set for a process
        engine = make("cross", 26, "cuda", dtype=each)
        sums = [engine.train_step(*batch, 1e-3) for batch in zip(images, labels)]
        losses.append(engine.fetch(sums)[:, 0])
    assert (losses[0] != losses[1]).all()
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_run_has_the_cpus_figures(tmp_path):
    """With images on the GPU, augmented there, and a smaller last batch."""
    write_random_rec(tmp_path / "train.rec", 47, classes=10)
    write_random_rec(tmp_path / "test.rec", 12, classes=10)
    flags = ["--network", "resnet", "--depth", "8", "--batch-size", "20", "--lr", "0.001"]
    flags += ["--num-epochs", "5", "--engine", "torch", "--quiet", "--data-dir", str(tmp_path)]
    found = []
    for gpus in ("cpu", "0"):
        where = tmp_path / f"runs-{gpus}"
        train_cifar.main([*flags, "--gpus", gpus, "--log-dir", str(where)])
        found.append(read_log(where / "cifar10" / "resnet_d8w1" / "run1"))
    for ours, theirs in zip(*found):
        for name in ("train_loss", "test_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-2), (ours["epoch"], name)


def test_dropout_is_new_in_each_replay():
    net = get_model("fractal", 10, dropout=0.1, drop_path=0.15)
    net.initialize(DeepFusionInit(0))
    engine = TorchEngine(net, torch.device("cuda"), SETTINGS)
    images, labels = np.ones((20, 3, 32, 32), np.float32), np.zeros(20)
    sums = [engine.train_step(images, labels, 0.0) for _ in range(WARM_UP + 4)]
    losses = engine.fetch(sums)[WARM_UP + 1 :, 0]
    assert len(set(losses)) == len(losses)


def test_images_are_held_there():
    pixels = np.random.default_rng(0).integers(0, 256, (23, 3, 32, 32), dtype=np.uint8)
    held = make("plain", 5, "cuda").cache_on_device(pixels, *STATISTICS.values())
    here = make("plain", 5, "cpu").cache_on_device(pixels, *STATISTICS.values())
    assert here is None
    batch = held.batch(np.array([3, 1]))
    assert batch.device.type == "cuda"
    mean, std = (np.array(each, np.float32).reshape(-1, 1, 1) for each in STATISTICS.values())
    assert np.abs(batch.cpu().numpy() - (pixels[[3, 1]] - mean) / std).max() < 1e-5
