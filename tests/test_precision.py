"""bfloat16, in processes of its own: MXNet does not go back to float32."""

import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from command import InputError
from tests.record_files import encoded, write_rec
from training import precision
from training.checkpoint import load
from training.log import read_config, read_log

ROOT = Path(__file__).resolve().parents[1]


def test_bfloat16_is_for_cpus_that_have_it(tmp_path):
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f")
    assert not precision.has_bfloat16(tmp_path / "cpuinfo")
    assert not precision.has_bfloat16(tmp_path / "none")
    with pytest.raises(InputError, match="a CPU that has it"):
        precision.use("bfloat16", [mx.cpu(), mx.gpu(0)])
    with pytest.raises(InputError, match="float32 or bfloat16, not 'float8'"):
        precision.use("float8", [mx.cpu()])


@pytest.mark.skipif(not precision.has_bfloat16(), reason="this CPU computes in float32 alone")
def test_bfloat16_learns_as_float32_does(tmp_path):
    """Ten colours under noise."""
    rng = np.random.RandomState(0)
    colours = rng.randint(0, 256, (10, 1, 1, 3))
    for name, count in (("train.rec", 400), ("test.rec", 100)):
        noise = rng.randint(-40, 40, (count, 32, 32, 3))
        pixels = np.clip(colours[np.arange(count) % 10] + noise, 0, 255).astype(np.uint8)
        write_rec(tmp_path / name, np.arange(count) % 10, [encoded(image) for image in pixels])
    flags = ["--network", "cross", "--depth", "14", "--num-epochs", "2", "--batch-size", "40"]
    flags += ["--lr", "0.05", "--aug-type", "0", "--data-dir", str(tmp_path)]
    rows, configs = {}, {}
    for dtype in precision.DTYPES:
        words = ["train_cifar.py", *flags, "--log-dir", str(tmp_path / dtype), "--dtype", dtype]
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / dtype / "cifar10" / "cross_d14w1" / "run1"
        rows[dtype], configs[dtype] = read_log(folder), read_config(folder)
        values, momenta, _ = load(folder / "checkpoints" / "epoch0002")
        assert {array.dtype for array in (*values.values(), *momenta.values())} == {np.dtype("f4")}
    ours, theirs = (rows[dtype][-1] for dtype in ("bfloat16", "float32"))
    assert theirs["train_error"] < 50  # chance: 90
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.1)
    assert ours["train_loss"] != theirs["train_loss"]
    same = ("parameters", "multiply_adds", "layers")
    assert [configs["bfloat16"][k] for k in same] == [configs["float32"][k] for k in same]
