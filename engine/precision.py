"""Set the data type of convolutions and dense layers.

float16 has 5 bits of exponent: gradients below 6e-8 become zero, and those above 65504 infinite.
Therefore the losses of a batch, which are summed, are multiplied by a LOSS_SCALE before the
backward pass, and the update divides by it, in float32. An update with an infinite gradient is
skipped, and the scale is halved until the next test; then the initial scale is used again. The
scale is therefore not in a checkpoint, and a resumed run equals an uninterrupted one. A scale that
also grows, as in mxnet.contrib.amp, would have to be stored. It would gain less than for mean
losses, because a sum is already the mean scaled by the batch size.
"""

from functools import lru_cache, partial

from command import InputError
from hardware import has_bfloat16

DTYPES = ("float32", "tf32", "bfloat16", "float16")
MXNET_DTYPES = ("float32", "bfloat16", "float16")
TORCH_DTYPES = ("float32", "tf32", "bfloat16")
LOSS_SCALE = {"float16": 128.0}  # a power of two, so that scaling is exact
SMALLEST_LOSS_SCALE = 2.0**-24  # the smallest positive number of float16


def use(dtype, contexts):
    """Make MXNet use ``dtype`` on ``contexts`` in networks that are compiled from now on.

    With float16 and bfloat16, MXNet casts the inputs of convolutions and dense layers and keeps
    float32 for operators that need it, such as softmax. Parameters, momenta, averages and
    checkpoints stay float32. A network is compiled by its first call and keeps that type.

    Raises:
        InputError: the type is unknown, or these devices do not support it.
    """
    require_known(dtype, MXNET_DTYPES)
    places = {context.device_type for context in contexts}
    if dtype == "bfloat16" and (places != {"cpu"} or not has_bfloat16()):
        raise InputError(
            "with MXNet, dtype bfloat16 needs a CPU that supports it (avx512_bf16), and gpus cpu "
            "on a machine with GPUs: use float32, or engine torch",
            argument=("dtype", "gpus", "engine"),
        )
    if dtype == "float16" and places != {"gpu"}:
        raise InputError(
            "dtype float16 needs GPUs, because MXNet has no float16 convolution for CPUs: use "
            "float32",
            argument="dtype",
        )
    cast_operators(dtype)


def cast_operators(dtype):
    """Make MXNet's operators cast to ``dtype`` like mxnet.contrib.amp, or not cast with float32.

    ``amp.init`` replaces functions of MXNet's modules for the rest of the process. Here they are
    restored, so that a run does not use the data type of an earlier run.
    """
    from mxnet.contrib.amp import amp

    originals = _original_operators()
    if amp._amp_initialized:
        for module, functions in originals:
            vars(module).update(functions)
        amp._amp_initialized = False
    if dtype != "float32":
        amp.init(target_dtype=dtype)


@lru_cache(maxsize=None)
def _original_operators():
    """Return MXNet's modules of operators, each with its contents before ``amp.init``."""
    import mxnet as mx
    from mxnet.base import _OP_NAME_PREFIX_LIST

    modules = []
    for library in (mx.nd, mx.sym):
        parts = [prefix[1:-1] for prefix in _OP_NAME_PREFIX_LIST]
        modules += [library, library.op, library._internal]
        modules += [getattr(library, part) for part in parts]
    return [(module, dict(vars(module))) for module in modules]


def use_in_torch(dtype, device):
    """Make PyTorch compute in ``dtype`` on ``device``; return a function that makes a context.

    The forward pass must run in such a context. By default, PyTorch rounds the inputs of float32
    convolutions on GPUs to TF32, with 10 bits of mantissa; here only "tf32" does, for the whole
    process.

    Raises:
        InputError: the type is unknown, or the device does not support it.
    """
    import torch

    require_known(dtype, TORCH_DTYPES)
    if dtype == "tf32" and device.type != "cuda":
        raise InputError("dtype tf32 needs a GPU: use float32", argument="dtype")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    return partial(torch.autocast, device.type, torch.bfloat16, dtype == "bfloat16")


def require_known(dtype, known):
    """Raise an InputError if ``dtype`` is not among the ``known`` types."""
    if dtype not in known:
        raise InputError(
            f"dtype must be {' or '.join(known)} here, not {dtype!r}", argument="dtype"
        )
