"""Parameters, multiply-adds and depth of any network, read off its compiled graph."""

import contextlib
import io
import json
import math
from dataclasses import dataclass

import mxnet as mx

from command import InputError
from network.graph import to_symbol

WEIGHT_LAYERS = ("Convolution", "FullyConnected")


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
    graph = to_symbol(net)
    shapes = infer_shapes(net, graph, input_shape)
    nodes = json.loads(graph.tojson())["nodes"]
    multiply_adds, depths = 0, []
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


def operator_costs(net, input_shape=(3, 32, 32)):
    """{operator: (multiply-adds, numbers read, numbers written)} of a forward pass of one image.

    Read are activations, not parameters, which a batch shares.
    """
    graph = to_symbol(net)
    shapes = infer_shapes(net, graph, input_shape)
    nodes, sizes, totals = json.loads(graph.tojson())["nodes"], {}, {}
    for node in nodes:
        if node["op"] == "null":
            continue
        name, inputs = node["name"], [nodes[source]["name"] for source, *_ in node["inputs"]]
        one, several = shapes.get(f"{name}_output"), shapes.get(f"{name}_output0")
        count = int(node.get("attrs", {}).get("num_outputs", 1))
        written = sizes[name] = math.prod(one or several) * count
        read = sum(sizes.get(each, 0) for each in inputs)
        here = (_multiply_adds(node, nodes, shapes), read, written)
        so_far = totals.get(node["op"], (0, 0, 0))
        totals[node["op"]] = tuple(map(sum, zip(so_far, here)))
    return totals


def _multiply_adds(node, nodes, shapes):
    """Those of one of ``nodes``, the graph's, for one image."""
    if node["op"] not in WEIGHT_LAYERS:
        return 0
    weight = shapes[nodes[node["inputs"][1][0]]["name"]]
    return math.prod(shapes[node["name"] + "_output"]) * math.prod(weight[1:])


def infer_shapes(net, graph, input_shape):
    """Name of each parameter and each operator's output -> its shape, for one image.

    ``graph`` is what ``compiled(net)`` gives.

    Raises:
        InputError: the network cannot take such an image.
    """
    internals = graph.get_internals()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # MXNet prints the arguments it failed on
            arguments, outputs, states = internals.infer_shape(data=(1, *input_shape))
    except mx.MXNetError:
        size = " x ".join(str(length) for length in input_shape)
        raise InputError(f"{net.name} cannot take images of {size}") from None
    return {
        **dict(zip(internals.list_outputs(), outputs)),
        **dict(zip(internals.list_arguments(), arguments)),
        **dict(zip(internals.list_auxiliary_states(), states)),
    }
