"""Parameters, multiply-adds and depth of any network, read off its compiled graph."""

import math
from dataclasses import dataclass

from network.graph import WEIGHT_LAYERS, trace


@dataclass(frozen=True)
class Complexity:
    """What a network costs for one image."""

    parameters: int  # trainable numbers; moving statistics are none
    multiply_adds: int  # of convolutions and dense layers
    layers: int  # weight layers on the longest path
    outputs: tuple  # shape of each output, without the batch


def complexity(net, input_shape=(3, 32, 32)):
    """Complexity of ``net`` for an image of ``input_shape`` (channels, height, width).

    Needs no parameter values: shapes are inferred from the graph.

    Raises:
        InputError: the network cannot take such an image.
    """
    ops, outputs = trace(net, input_shape)
    shapes = {op.name: op.shape for op in ops if op.op == "null"}
    multiply_adds, depths = 0, []
    for op in ops:
        depth = max((depths[source] for source in op.inputs), default=0)
        if op.op in WEIGHT_LAYERS:
            depth += 1
            weight = ops[op.inputs[1]].shape
            multiply_adds += math.prod(op.shape) * math.prod(weight[1:])
        depths.append(depth)
    return Complexity(
        parameters=sum(
            math.prod(shapes[name])
            for name, parameter in net.collect_params().items()
            if parameter.grad_req != "null"
        ),
        multiply_adds=multiply_adds,
        layers=max(depths),
        outputs=tuple(ops[position].shape[1:] for position in outputs),
    )
