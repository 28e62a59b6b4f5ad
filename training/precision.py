"""What convolutions and dense layers compute in: ``--dtype``."""

from pathlib import Path

from command import InputError

DTYPES = ("float32", "bfloat16")


def use(dtype, contexts):
    """Have MXNet compute in ``dtype`` on ``contexts`` from now on, as long as the process lives.

    With bfloat16, MXNet casts what goes into convolutions and dense layers and leaves to float32
    what needs it, such as softmax. Parameters, momenta, averages and checkpoints stay float32.

    Raises:
        InputError: there is no such type, or not on these devices.
    """
    if dtype not in DTYPES:
        raise InputError(f"--dtype takes {' or '.join(DTYPES)}, not {dtype!r}")
    if dtype == "float32":
        return
    if any(context.device_type != "cpu" for context in contexts) or not has_bfloat16():
        raise InputError(
            "--dtype bfloat16 takes a CPU that has it (avx512_bf16), and --gpus cpu where there "
            "are GPUs, too"
        )
    from mxnet.contrib import amp

    amp.init(target_dtype=dtype)


def has_bfloat16(cpuinfo="/proc/cpuinfo"):
    """Whether the CPU computes in bfloat16."""
    try:
        return "avx512_bf16" in Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
