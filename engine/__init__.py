"""Engines, which run networks on devices: MXNet's, and PyTorch's for the same compiled graph."""

import compat  # noqa: F401  (before anything imports mxnet)

from engine.base import Engine
from engine.devices import contexts, torch_device
from engine.distributed import connect_workers
from engine.mxnet_engine import MXNetEngine
from engine.optimizer import OptimizerSettings
from engine.torch_engine import TorchEngine
from engine.torch_workers import connect_torch_workers

__all__ = [
    "Engine",
    "MXNetEngine",
    "OptimizerSettings",
    "TorchEngine",
    "connect_torch_workers",
    "connect_workers",
    "contexts",
    "torch_device",
]
