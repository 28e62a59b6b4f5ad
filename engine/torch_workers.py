"""Connect the processes that torchrun started, by torch.distributed; see engine.distributed."""

import os
import warnings
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from command import CommandError, InputError, last_line
from engine.distributed import Alone

ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets them


def is_torchrun_job() -> bool:
    """Return whether torchrun started several processes, of which this is one."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def connect_torch_workers(device: Any, wait_limit: float) -> Any:
    """Return the workers that train together: all processes of a torchrun job, or this one.

    Args:
        device: the torch.device of this process.
        wait_limit: seconds that a worker waits for the others.
    """
    return TorchWorkers(device, wait_limit) if "WORLD_SIZE" in os.environ else Alone()


class TorchWorkers:
    """All processes of a job, as seen from one of them; NCCL connects GPUs, gloo connects CPUs."""

    def __init__(self, device, wait_limit):
        from torch import distributed

        missing = [name for name in ENVIRONMENT if not os.environ.get(name)]
        if missing:
            raise InputError(
                f"WORLD_SIZE is set, as for the workers of a job, but {', '.join(missing)} is not: "
                "start the job with torchrun, or unset WORLD_SIZE"
            )
        self._device = device
        # PyTorch warns of the strides of 1x1 kernels, whose layouts are all the same in memory
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(seconds=wait_limit))
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()
        here = os.environ.get("LOCAL_WORLD_SIZE", self.count)  # processes of this machine
        machines = self.count // int(here)
        several = f"--nnodes {machines} " if machines > 1 else ""
        self.launcher = f"torchrun {several}--nproc-per-node {here} --no-python "

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        from torch import distributed

        if error is None:
            distributed.destroy_process_group()
        elif isinstance(error, RuntimeError) and _is_connection_error(error):
            raise CommandError(
                f"another worker has ended or cannot be reached ({last_line(error)}): start all of "
                "them again with --resume"
            ) from None

    def waiting(self):
        """Return a context manager to wait in; torch.distributed itself limits the wait."""
        return nullcontext()

    def sum(self, array):
        """Return ``array`` summed over all workers."""
        import torch

        total = torch.as_tensor(array).to(self._device)
        torch.distributed.all_reduce(total)
        return total.cpu().numpy()


def _is_connection_error(error):
    return any(word in str(error) for word in ("gloo", "NCCL", "onnection", "imed out"))
