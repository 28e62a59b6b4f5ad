"""The processes that torchrun started, training together by torch.distributed; see workers.py."""

import os
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from command import CommandError
from engine.distributed import Alone


def connect_torch_workers(device: Any, wait_limit: float) -> Any:
    """The process by itself, or with all that torchrun started with it.

    Args:
        device: the torch.device of this process.
        wait_limit: seconds that a worker waits for the others.
    """
    return TorchWorkers(device, wait_limit) if "WORLD_SIZE" in os.environ else Alone()


class TorchWorkers:
    """All processes of a job, seen from one of them: NCCL joins GPUs, gloo CPUs."""

    def __init__(self, device, wait_limit):
        from torch import distributed

        self._device = device
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
        elif isinstance(error, RuntimeError) and _is_of_connections(error):
            raise CommandError(
                "another worker is gone: start them all again with --resume"
            ) from None

    def waiting(self):
        """Something to wait in; a wait that lasts too long is an error by itself."""
        return nullcontext()

    def sum(self, array):
        """``array`` summed over all workers."""
        import torch

        total = torch.as_tensor(array).to(self._device)
        torch.distributed.all_reduce(total)
        return total.cpu().numpy()


def _is_of_connections(error):
    return any(word in str(error) for word in ("gloo", "NCCL", "onnection", "imed out"))
