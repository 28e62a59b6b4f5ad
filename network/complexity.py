"""Count the parameters, multiply-adds and layers of any network from its compiled graph."""

import contextlib
import io
import json
import math
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

from command import InputError
from network.graph import INPUT, to_symbol

WEIGHT_LAYERS = ("Convolution", "FullyConnected")


@dataclass(frozen=True)
class Complexity:
    """The cost of a network for one image."""

    parameters: int  # trainable numbers, without moving averages
    multiply_adds: int  # multiply-adds of convolutions and dense layers
    layers: int  # weight layers on the longest path
    outputs: Tuple[Tuple[int, ...], ...]  # shape of each output, without the batch


def complexity(net: HybridBlock, input_shape: Tuple[int, int, int] = (3, 32, 32)) -> Complexity:
    """Return the Complexity of ``net`` for an image of ``input_shape`` (channels, height, width).

    The network may be uninitialized: shapes are inferred from the graph.

    Raises:
        InputError: the network cannot take such an image.
    """
    graph = to_symbol(net)
    shapes = infer_shapes(net, graph, input_shape)
    nodes = json.loads(graph.tojson())["nodes"]
    multiply_adds = 0
    depths: List[int] = []  # for each node: weight layers on the longest path to it
    for node in nodes:
        depth = max((depths[source] for source, *_ in node["inputs"]), default=0)
        if node["op"] in WEIGHT_LAYERS:
            depth += 1
        multiply_adds += _multiply_adds(node, nodes, shapes)
        depths.append(depth)
    return Complexity(
        parameters=sum(
            math.prod(shapes[name])
            for name, parameter in net.collect_params().items()
            if parameter.grad_req != "null"
        ),
        multiply_adds=multiply_adds,
        layers=max(depths),
        outputs=tuple(shapes[name][1:] for name in graph.list_outputs()),
    )


def operator_costs(
    net: HybridBlock, input_shape: Tuple[int, int, int] = (3, 32, 32)
) -> Dict[str, Tuple[int, int, int]]:
    """Return {operator: (multiply-adds, numbers read, numbers written)} of a forward pass.

    All counts are for one image. Numbers read are activations; parameters are not counted, because
    the images of a batch share them.

    Raises:
        InputError: the network cannot take such an image.
    """
    graph = to_symbol(net)
    shapes = infer_shapes(net, graph, input_shape)
    nodes, sizes = json.loads(graph.tojson())["nodes"], {}
    totals: Dict[str, Any] = {}
    for node in nodes:
        if node["op"] == "null":
            continue
        name, inputs = node["name"], [nodes[source]["name"] for source, *_ in node["inputs"]]
        output = f"{name}_output"
        shape = shapes[output if output in shapes else f"{name}_output0"]
        count = int(node.get("attrs", {}).get("num_outputs", 1))
        written = sizes[name] = math.prod(shape) * count
        read = sum(sizes.get(each, 0) for each in inputs)
        here = (_multiply_adds(node, nodes, shapes), read, written)
        so_far = totals.get(node["op"], (0, 0, 0))
        totals[node["op"]] = tuple(map(sum, zip(so_far, here)))
    return totals


def _multiply_adds(node, nodes, shapes):
    """Return the multiply-adds of ``node``, one of the graph's ``nodes``, for one image."""
    if node["op"] not in WEIGHT_LAYERS:
        return 0
    weight = shapes[nodes[node["inputs"][1][0]]["name"]]
    return math.prod(shapes[node["name"] + "_output"]) * math.prod(weight[1:])


def infer_shapes(
    net: HybridBlock, graph: Any, input_shape: Tuple[int, int, int]
) -> Dict[str, Tuple[int, ...]]:
    """Return {name of a parameter or an operator's output: its shape} for a batch of one image.

    Args:
        graph: ``to_symbol(net)``.

    Raises:
        InputError: the network cannot take such an image.
    """
    internals = graph.get_internals()
    size = " x ".join(str(length) for length in input_shape)
    problem = InputError(f"{net.name} cannot take images of {size}")
    if min(input_shape) < 1:  # MXNet takes 0 as unknown
        raise problem
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # MXNet prints the arguments it failed on
            arguments, outputs, states = internals.infer_shape(**{INPUT: (1, *input_shape)})
    except mx.MXNetError:
        raise problem from None
    return {
        **dict(zip(internals.list_outputs(), outputs)),
        **dict(zip(internals.list_arguments(), arguments)),
        **dict(zip(internals.list_auxiliary_states(), states)),
    }
