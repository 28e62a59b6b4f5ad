"""``--gpus`` -> devices: MXNet's contexts, or PyTorch's."""

import ctypes
import re

import mxnet as mx

from command import InputError

# mxnet-cu112 1.9.1 holds code for sm_50 to sm_86, and no PTX for later ones; 8.9 runs 8.6's
OLDEST_CAPABILITY, NEWEST_CAPABILITY = (5, 0), (8, 9)


def contexts(gpus=None):
    """Devices to train on.

    Args:
        gpus: "0,1" for GPUs 0 and 1, "cpu" for the CPU; "cpu:0,cpu:1" are two devices on the CPU.
            None takes every GPU that MXNet sees, else the CPU.

    Raises:
        InputError: a device is not there, named twice, or newer than MXNet has code for.
    """
    available = _count_gpus()
    if gpus is None:
        chosen = [mx.gpu(index) for index in range(available)] or [mx.cpu()]
    else:
        chosen = [_context(item.strip(), available) for item in str(gpus).split(",")]
    if len(set(map(str, chosen))) < len(chosen):
        raise InputError(f"--gpus {gpus} names a device twice")
    for context in chosen:
        if context.device_type == "gpu":
            _require_code_for(context.device_id, _capability(context.device_id))
    return chosen


def torch_device(gpus=None):
    """The torch.device to train on, one a process.

    Args:
        gpus: "0" for GPU 0, "cpu" for the CPU; None takes the first GPU, if there is one.

    Raises:
        InputError: PyTorch is not installed, or there is no such GPU.
    """
    try:
        import torch
    except ImportError:
        raise InputError(
            "--engine torch needs PyTorch, which is not installed: pip install -e '.[torch]'"
        ) from None
    there = torch.cuda.device_count()
    item = gpus or ("0" if there else "cpu")
    if item == "cpu":
        return torch.device("cpu")
    if not re.fullmatch("[0-9]+", item):
        raise InputError(f"--engine torch takes one GPU, such as --gpus 0, or cpu; not {gpus!r}")
    if int(item) >= there:
        raise InputError(f"there is no GPU {item} (PyTorch sees {there or 'none'} here)")
    return torch.device("cuda", int(item))


def _context(item, available):
    device, _, index = item.partition(":")
    if device == "cpu" and (not index or re.fullmatch("[0-9]+", index)):
        return mx.cpu(int(index or 0))
    if not re.fullmatch("[0-9]+", item):
        raise InputError(f"--gpus takes numbers such as 0,1, or cpu; not {item!r}")
    if int(item) >= available:
        seen = f"MXNet sees {available}" if available else "MXNet sees none here"
        raise InputError(
            f"there is no GPU {item} ({seen}): leave --gpus out for what there is, or install "
            "mxnet-cu112 and a driver (pip install -e '.[cu112]')"
        )
    return mx.gpu(int(item))


def _count_gpus():
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:  # built for GPUs, without a working driver
        return 0


def _require_code_for(index, capability):
    if capability is None or OLDEST_CAPABILITY <= capability <= NEWEST_CAPABILITY:
        return
    raise InputError(
        "GPU {} has compute capability {}.{}, and mxnet-cu112 1.9.1 holds code for {}.{} to {}.{}: "
        "choose another GPU, or the CPU with --gpus cpu".format(
            index, *capability, *OLDEST_CAPABILITY, *NEWEST_CAPABILITY
        )
    )


def _capability(index):
    """Compute capability (major, minor) of a GPU from the driver; None where it does not tell."""
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
