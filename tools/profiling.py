"""Measure the time of each operator in a training step, and compute its lower bound."""

import json
import os
import tempfile
import time
from statistics import median

import mxnet as mx
from mxnet import profiler

from engine.mxnet_engine import STATIC
from network import image_shape
from network.complexity import operator_costs
from plotting.tables import markdown
from tools.own_steps import TORCH_LIBRARIES, make_engine
from tools.workload import LR, random_batch

SEPARATE = {**STATIC, "forward_bulk_size": 0, "backward_bulk_size": 0}  # starts each operator
STEPS = 5  # of a profile
BACKWARD = "_backward_"
WIDE = (8, 256, 32, 32)  # batch, channels, height, width of the convolution that measures the peak
LENGTH, TRIALS = 1 << 26, 7


def profile_case(case):
    """Return a table of operators as text: of a step with MXNet, else of STEPS steps."""
    engine, batch = make_engine(case, hybridize=SEPARATE), random_batch(case)

    def step():
        engine.fetch([engine.train_step(*batch, LR)])

    for _ in range(STEPS):
        step()
    costs = operator_costs(engine.net, image_shape(case.network))
    name = f"{case.size}, batch {case.batch_size}, {case.dtype}, {case.library}"
    if case.library in TORCH_LIBRARIES:
        sums = [case.batch_size * sum(each) for each in zip(*costs.values())]
        least = f"forward: {1e-9 * sums[0]:.1f} G multiply-adds, {4e-9 * sum(sums[1:]):.2f} GB"
        table = profile_torch(step, STEPS)
        return f"{name}, {STEPS} steps; {least} a step\n{table}"
    speed, bandwidth = measure_peaks()
    found = profile_mxnet(step, STEPS)
    rows = operator_table(found, costs, case.batch_size, speed, bandwidth)
    machine = f"{os.environ['OMP_NUM_THREADS']} threads, {2e-9 * speed:.0f} GFLOP/s"
    return f"{name}, {machine}, {1e-9 * bandwidth:.1f} GB/s\n{markdown(rows)}"


def profile_mxnet(step, steps):
    """Return {operator: (calls, milliseconds) in one step} from MXNet's profiler.

    Args:
        step: takes a training step and waits for it. Its network must start operators one by one
            (``hybridize(..., forward_bulk_size=0, backward_bulk_size=0)``).
        steps: number of steps that are averaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        # MXNet removes this file first, so it must not be os.devnull, and fills it at the end.
        profiler.set_config(
            filename=os.path.join(folder, "profile.json"),
            profile_symbolic=True,
            profile_imperative=True,
            profile_api=False,
            profile_memory=False,
            aggregate_stats=True,
        )
        profiler.set_state("run")
        for _ in range(steps):
            step()
        profiler.set_state("stop")
    found = json.loads(profiler.dumps(reset=True, format="json"))["Time"]["operator"]
    return {name: (each["Count"] / steps, each["Total"] / steps) for name, each in found.items()}


def profile_torch(step, steps):
    """Return the table of PyTorch's profiler for a training step, as text."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    # on a GPU, a recorded step has kernels instead of operators; their names begin alike
    kinds, key, width = [ProfilerActivity.CPU], "self_cpu_time_total", 40
    if torch.cuda.is_available():
        kinds, key, width = [*kinds, ProfilerActivity.CUDA], "self_cuda_time_total", 120
    with profile(activities=kinds) as found:
        for _ in range(steps):
            step()
    return found.key_averages().table(sort_by=key, row_limit=15, max_name_column_width=width)


def measure_peaks():
    """Return multiply-adds per second of a wide 3x3 convolution, bytes per second of a ReLU."""
    count, channels, *size = WIDE
    images, weight = mx.nd.ones(WIDE), mx.nd.ones((channels, channels, 3, 3))
    array, other = mx.nd.ones(LENGTH), mx.nd.zeros(LENGTH)
    settings = {"kernel": (3, 3), "pad": (1, 1), "num_filter": channels, "no_bias": True}
    convolution = _seconds(lambda: mx.nd.Convolution(images, weight, **settings))
    relu = _seconds(lambda: mx.nd.Activation(array, act_type="relu", out=other))
    return 9 * count * channels**2 * size[0] * size[1] / convolution, 2 * 4 * LENGTH / relu


def _seconds(compute):
    times = []
    for _ in range(TRIALS + 1):
        mx.nd.waitall()
        started = time.perf_counter()
        compute().wait_to_read()
        times.append(time.perf_counter() - started)
    return median(times[1:])


def operator_table(found, costs, batch_size, speed, bandwidth):
    """Return a table, as rows of text, of each operator's time and its lower bound.

    The lower bound is the time of the multiply-adds at ``speed`` or of the numbers read and written
    at ``bandwidth``, whichever is longer. A backward pass has twice the multiply-adds; it reads
    everything that the forward pass reads and writes, and writes as much as that pass reads.

    Args:
        found: the result of ``profile_mxnet``.
        costs: {operator: (multiply-adds, numbers read, numbers written)} for one image.
        speed, bandwidth: the results of ``measure_peaks``.
    """
    rows = [["operator", "calls per step", "ms", "share %", "least ms", "ms / least"]]
    total = sum(taken for _, taken in found.values())
    floors = 0
    for name, (calls, taken) in sorted(found.items(), key=lambda item: -item[1][1]):
        if taken < 0.005 * total:
            continue
        forward = name[len(BACKWARD) :] if name.startswith(BACKWARD) else name
        least = ""
        if forward in costs:
            multiply_adds, read, written = costs[forward]
            if forward != name:
                multiply_adds, written = 2 * multiply_adds, written + read
            floor = max(multiply_adds / speed, 4 * (read + written) / bandwidth)
            floor *= 1000 * batch_size
            floors += floor
            least = f"{floor:.1f}"
        ratio = f"{taken / float(least):.1f}" if least not in ("", "0.0") else ""
        share = f"{100 * taken / total:.1f}"
        rows.append([name, f"{calls:g}", f"{taken:.1f}", share, least, ratio])
    rows.append(["all", "", f"{total:.1f}", "100.0", f"{floors:.1f}", f"{total / floors:.1f}"])
    return rows
