"""List the benchmark's contestants, choose its cases, and take steps of one in its process."""

import json
import os
import sys
import time
from itertools import product
from pathlib import Path

from command import InputError
from engine import precision
from hardware import cores
from network import default_depth, get_model
from tools.own_steps import (
    ENGINE_LIBRARIES,
    EXPORTED,
    batches_of_records,
    predict_by_engine,
    predict_by_export,
    train_by_engine,
)
from tools.pytorch_steps import (
    PLAIN,
    batches_of_pytorch,
    predict_by_plain_export,
    predict_by_pytorch,
    train_by_pytorch,
)
from tools.timing import Case
from tools.workload import CLASSES

LIBRARIES = {
    "mxnet": "the engine of train_cifar.py",
    "torch": "train_cifar.py --engine torch",
    "torch-compiled": "train_cifar.py --engine torch --compile",
    "pytorch": "the same network written directly in PyTorch, eager",
    "pytorch-channels-last": "pytorch with channels last in memory",
    "pytorch-compiled": "pytorch with torch.compile",
    "mxnet-exported": "the symbol that export.py writes (predicts only, on the CPU)",
    "onnxruntime": "the ONNX file that export.py writes (predicts only, on the CPU)",
    "onnxruntime-plain": "the ONNX file that torch.onnx writes of pytorch (the same)",
    "onnxruntime-int8": "the ONNX file of --int8, calibrated on the batch (the same)",
}
PYTORCH = [name for name in LIBRARIES if name.startswith("pytorch")]
NEEDS_PLAIN = (*PYTORCH, "onnxruntime-plain")
FILES = (*EXPORTED, "onnxruntime-plain")  # their numbers are float32, except with 8 bits
STEPS = {  # (task, library) -> a Case's function of a number of steps, which waits for them
    **{("train", name): train_by_engine for name in ENGINE_LIBRARIES},
    **{("train", name): train_by_pytorch for name in PYTORCH},
    **{("predict", name): predict_by_engine for name in ("mxnet", "torch")},
    **{("predict", name): predict_by_pytorch for name in PYTORCH},
    **{("predict", name): predict_by_export for name in EXPORTED},
    ("predict", "onnxruntime-plain"): predict_by_plain_export,
    ("data", "mxnet"): batches_of_records,
    ("data", "pytorch"): batches_of_pytorch,
}
TASKS = sorted({task for task, _ in STEPS})


def list_cases(args):
    """Return the cases that the flags describe, except those that a library does not support.

    Raises:
        InputError: a network does not exist, or no library supports any case.
    """
    networks = []
    for text in args.network:
        if text.startswith("gluoncv:"):
            networks.append((text, None, 1))
            continue
        name, *numbers = text.split(":")
        if len(numbers) > 2 or not all(each.isdecimal() and int(each) > 0 for each in numbers):
            raise InputError(f"--network takes NAME, NAME:DEPTH or NAME:DEPTH:WIDEN, not {text!r}")
        depth, widen = [*map(int, numbers), None, None][:2]
        networks.append((name, depth or default_depth(name), widen or 1))
    for name, depth, widen in networks:
        get_model(name, depth, CLASSES, widen)  # refuses networks that do not exist
    threads = args.threads or [cores()]
    settings = product(args.task, networks, args.batch_size, args.dtype, args.library, threads)
    cases = [
        Case(task, *network, batch_size, dtype, library, count)
        for task, network, batch_size, dtype, library, count in settings
        if (task, library) in STEPS
        and not (library in NEEDS_PLAIN and task != "data" and network[0] not in PLAIN)
        and dtype in (precision.MXNET_DTYPES if library == "mxnet" else precision.TORCH_DTYPES)
        and not (library in FILES and dtype != "float32")
    ]
    if not cases:
        raise InputError("none of these libraries supports any of these tasks and networks")
    return cases


def contest(case):
    """Take steps of ``case`` on request of tools.timing.Contestant."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # so that the output of libraries is not taken for an answer

    def answer(seconds):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        answers.write(json.dumps([seconds, peak]) + "\n")

    take = STEPS[case.task, case.library](case)
    take(1)
    answer(0)
    for line in sys.stdin:
        started = time.perf_counter()
        take(int(line))
        answer(time.perf_counter() - started)
