"""What convolutions and dense layers compute in: ``--dtype``.

float16 has 5 bits of exponent: gradients below 6e-8 are zero in it, above 65504 infinite. So the
losses of a batch, which are summed, are multiplied by a LOSS_SCALE before the backward pass, and
the update divides by it, in float32. An update with an infinite gradient is left out, and halves
the scale. That holds until the next test, after which the scale is what it first was: nothing of it
is in a checkpoint, and a run resumed equals one that never stopped. A scale that also grows, as
that of mxnet.contrib.amp, would have to be stored, and gains less here than where losses are
averaged: the sum is the mean scaled by the batch already.
"""

from command import InputError
from hardware import has_bfloat16

DTYPES = ("float32", "bfloat16", "float16")
TORCH_DTYPES = ("float32", "bfloat16")
LOSS_SCALE = {"float16": 128.0}  # a power of two, which rounds nothing
SMALLEST_LOSS_SCALE = 2.0**-24  # as small as float16 goes


def use(dtype, contexts):
    """Have MXNet compute in ``dtype`` on ``contexts`` from now on, as long as the process lives.

    With float16 and bfloat16, MXNet casts what goes into convolutions and dense layers and leaves
    to float32 what needs it, such as softmax. Parameters, momenta, averages and checkpoints stay
    float32.

    Raises:
        InputError: there is no such type, or not on these devices.
    """
    require_known(dtype, DTYPES)
    if dtype == "float32":
        return
    places = {context.device_type for context in contexts}
    if dtype == "bfloat16" and (places != {"cpu"} or not has_bfloat16()):
        raise InputError(
            "--dtype bfloat16 takes a CPU that has it (avx512_bf16), and --gpus cpu where there "
            "are GPUs, too"
        )
    if dtype == "float16" and places != {"gpu"}:
        raise InputError("--dtype float16 takes GPUs: MXNet has no float16 convolution for CPUs")
    from mxnet.contrib import amp

    amp.init(target_dtype=dtype)


def require_known(dtype, known):
    """Refuse a type that is not among those ``known``."""
    if dtype not in known:
        raise InputError(f"--dtype takes {' or '.join(known)} here, not {dtype!r}")
