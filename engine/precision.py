"""What convolutions and dense layers compute in: ``--dtype``.

float16 has 5 bits of exponent: gradients below 6e-8 are zero in it, above 65504 infinite. So the
losses of a batch, which are summed, are multiplied by a LOSS_SCALE before the backward pass, and
the update divides by it, in float32. An update with an infinite gradient is left out, and halves
the scale. That holds until the next test, after which the scale is what it first was: nothing of it
is in a checkpoint, and a run resumed equals one that never stopped. A scale that also grows, as
that of mxnet.contrib.amp, would have to be stored, and gains less here than where losses are
averaged: the sum is the mean scaled by the batch already.
"""

from functools import lru_cache

from command import InputError
from hardware import has_bfloat16

DTYPES = ("float32", "bfloat16", "float16")
TORCH_DTYPES = ("float32", "bfloat16")
LOSS_SCALE = {"float16": 128.0}  # a power of two, which rounds nothing
SMALLEST_LOSS_SCALE = 2.0**-24  # as small as float16 goes


def use(dtype, contexts):
    """Have MXNet compute in ``dtype`` on ``contexts`` in networks that are compiled from now on.

    With float16 and bfloat16, MXNet casts what goes into convolutions and dense layers and leaves
    to float32 what needs it, such as softmax. Parameters, momenta, averages and checkpoints stay
    float32. A network is compiled by its first call, and computes as it was compiled.

    Raises:
        InputError: there is no such type, or not on these devices.
    """
    require_known(dtype, DTYPES)
    places = {context.device_type for context in contexts}
    if dtype == "bfloat16" and (places != {"cpu"} or not has_bfloat16()):
        raise InputError(
            "--dtype bfloat16 takes a CPU that has it (avx512_bf16), and --gpus cpu where there "
            "are GPUs, too"
        )
    if dtype == "float16" and places != {"gpu"}:
        raise InputError("--dtype float16 takes GPUs: MXNet has no float16 convolution for CPUs")
    cast_operators(dtype)


def cast_operators(dtype):
    """Have MXNet's operators cast to ``dtype``, as mxnet.contrib.amp does, or with float32 not.

    ``amp.init`` replaces functions of MXNet's modules for as long as the process lives. Here they
    are put back, so that a run does not compute in the type of the run before.
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
    """Return MXNet's modules of operators, each with what is in it before ``amp.init``."""
    import mxnet as mx
    from mxnet.base import _OP_NAME_PREFIX_LIST

    modules = []
    for library in (mx.nd, mx.sym):
        parts = [prefix[1:-1] for prefix in _OP_NAME_PREFIX_LIST]
        modules += [library, library.op, library._internal]
        modules += [getattr(library, part) for part in parts]
    return [(module, dict(vars(module))) for module in modules]


def require_known(dtype, known):
    """Refuse a type that is not among those ``known``."""
    if dtype not in known:
        raise InputError(f"--dtype takes {' or '.join(known)} here, not {dtype!r}")
