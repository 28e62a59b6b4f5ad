"""Convert the names of GPUs to devices: MXNet's contexts, or PyTorch's device."""

import ctypes
import os
import re
from typing import Any, List, Optional

import mxnet as mx

from command import InputError
from engine.torch_process import prepare_cpu

# mxnet-cu112 1.9.1 holds code for sm_50 to sm_86, and no PTX for later ones; 8.9 runs 8.6's
OLDEST_CAPABILITY, NEWEST_CAPABILITY = (5, 0), (8, 9)


def contexts(gpus: Optional[str] = None) -> List[mx.Context]:
    """Return the devices to train on.

    Args:
        gpus: "0,1" for GPUs 0 and 1, "cpu" for the CPU; "cpu:0,cpu:1" are two devices on the CPU.
            None means every GPU that MXNet sees, or the CPU if there is none.

    Raises:
        InputError: a device is missing, is named twice, or is one that MXNet has no code for.
    """
    available = count_gpus()
    if gpus is None:
        chosen = [mx.gpu(index) for index in range(available)] or [mx.cpu()]
    else:
        chosen = [_context(item.strip(), available) for item in str(gpus).split(",")]
    if len(set(map(str, chosen))) < len(chosen):
        raise InputError(f"gpus {gpus} names a device twice", argument="gpus")
    for context in chosen:
        if context.device_type == "gpu":
            _require_code_for(context.device_id)
    return chosen


def torch_device(gpus: Optional[str] = None) -> Any:
    """Return the torch.device of this process, which may be one of several of a torchrun job.

    The device becomes PyTorch's current device. On a GPU, cuDNN chooses its algorithms by measuring
    them, once for each shape; for a CPU, see ``engine.torch_process``.

    Args:
        gpus: "0,1": each process of this machine gets one; "cpu": all processes use the CPU. None
            means every GPU, or the CPU if there is none that works.

    Raises:
        InputError: PyTorch is not installed, there is no such GPU, one is named twice or cannot be
            used, or none is left for this process.
    """
    try:
        import torch
    except ImportError:
        raise InputError(
            "engine torch needs PyTorch, which is not installed: pip install -e '.[torch]'",
            argument="engine",
        ) from None
    # with too old a driver, PyTorch counts GPUs that it cannot use
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus == "cpu" or (gpus is None and not available):
        prepare_cpu()
        return torch.device("cpu")
    device = torch.device("cuda", _choose_gpu(gpus, available))
    try:
        torch.cuda.set_device(device)
        torch.ones(1, device=device).item()
    except RuntimeError as error:  # such as full memory, or a PyTorch without code for the GPU
        reason = str(error).splitlines()[0]
        raise InputError(
            f"GPU {device.index} cannot be used: {reason}; choose another, or gpus cpu",
            argument="gpus",
        ) from None
    torch.backends.cudnn.benchmark = True
    return device


def _choose_gpu(gpus, available):
    """Return the number of the GPU of this process."""
    items = [str(index) for index in range(available)]
    if gpus is not None:
        items = [item.strip() for item in gpus.split(",")]
    for item in items:
        if not re.fullmatch("[0-9]+", item) or int(item) >= available:
            raise InputError(
                f"gpus {gpus}: PyTorch sees {available or 'no'} GPUs; name some of them by "
                "number, from 0, or use cpu",
                argument="gpus",
            )
    if len(set(map(int, items))) < len(items):
        raise InputError(f"gpus {gpus} names a device twice", argument="gpus")
    place = int(os.environ.get("LOCAL_RANK", 0))
    if place >= len(items):
        raise InputError(f"torchrun started more processes than there are GPUs ({len(items)})")
    if gpus and len(items) > 1 and "LOCAL_RANK" not in os.environ:
        raise InputError(
            f"gpus {gpus}: a process of engine torch uses one GPU; name one, or train with one "
            f"process for each: start the program with torchrun --nproc-per-node {len(items)}",
            argument=("gpus", "engine"),
        )
    return int(items[place])


def _context(item, available):
    device, _, index = item.partition(":")
    if device == "cpu" and re.fullmatch("[0-9]{0,3}", index):  # MXNet hangs with a huge number
        return mx.cpu(int(index or 0))
    if not re.fullmatch("[0-9]+", item):
        raise InputError(f"gpus must be numbers such as 0,1, or cpu, not {item!r}", argument="gpus")
    if int(item) >= available:
        seen = f"MXNet sees {available}" if available else "MXNet sees none"
        raise InputError(
            f"there is no GPU {item} ({seen}): leave gpus out to use the available devices, or "
            "install mxnet-cu112 and a driver (pip install -e '.[cu112]')",
            argument="gpus",
        )
    return mx.gpu(int(item))


def count_gpus():
    """Return the number of GPUs that MXNet sees."""
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:  # built for GPUs, without a working driver
        return 0


def _require_code_for(index):
    lack = explain_missing_code(index)
    if lack:
        raise InputError(f"{lack}: choose another GPU, or the CPU with gpus cpu", argument="gpus")


def explain_missing_code(index):
    """Return a text if mxnet-cu112 has no code for a GPU of the driver, otherwise None."""
    found = capability(index)
    if found is None or OLDEST_CAPABILITY <= found <= NEWEST_CAPABILITY:
        return None
    return (
        "GPU {} has compute capability {}.{}, and mxnet-cu112 1.9.1 holds code for {}.{} to {}.{}"
    ).format(index, *found, *OLDEST_CAPABILITY, *NEWEST_CAPABILITY)


def capability(index):
    """Return the compute capability (major, minor) of a GPU from the driver, or None."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, parts = ctypes.c_int(), []
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), index):
        return None
    for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
        value = ctypes.c_int()
        if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
        parts.append(value.value)
    return tuple(parts)
