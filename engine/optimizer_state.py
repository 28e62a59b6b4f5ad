"""Convert the state of an optimizer to and from the arrays of ``optimizer.params``."""

from dataclasses import dataclass, field
from typing import Dict, Optional

import numpy as np

RAW = "raw:"  # before the name of a parameter or moving average
STEPS, LAST_LR = "steps:", "last_lr:"


@dataclass
class OptimizerState:
    """The state of an optimizer; every array has the shape of the parameter with its name.

    ``momenta`` are empty before the first step. The other fields belong to settings of
    ``engine.optimizer.OptimizerSettings``; a checkpoint has them only if the setting is on.
    """

    momenta: Dict[str, np.ndarray]
    # the trained weights, if the values are their average
    raw: Dict[str, np.ndarray] = field(default_factory=dict)
    steps: int = 0  # number of steps in the average
    last_lr: Optional[float] = None  # the learning rate in the momenta

    def to_arrays(self):
        """Return {name: array}, which ``from_arrays`` reads."""
        arrays = {**self.momenta, **{RAW + name: array for name, array in self.raw.items()}}
        if self.raw:
            arrays[STEPS] = np.array([self.steps], np.int64)
        if self.last_lr is not None:
            arrays[LAST_LR] = np.array([self.last_lr], np.float64)
        return arrays

    @classmethod
    def from_arrays(cls, arrays):
        """Return the state from the arrays of ``to_arrays``, or from momenta alone."""
        rest = dict(arrays)
        steps, last_lr = rest.pop(STEPS, [0]), rest.pop(LAST_LR, None)
        raw = {name[len(RAW) :]: rest.pop(name) for name in arrays if name.startswith(RAW)}
        return cls(rest, raw, int(steps[0]), None if last_lr is None else float(last_lr[0]))
