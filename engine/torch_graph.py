"""A compiled network, MXNet's symbol, as one ``torch.nn.Module``."""

import inspect
import json
from ast import literal_eval
from operator import getitem

from command import InputError
from engine.torch_operators import operators


def torch_module(symbol, tensors, training):
    """Return the torch.fx.GraphModule that computes ``symbol``: images -> its output.

    Args:
        symbol: an mx.sym.Symbol of one output, whose one input that is no parameter is the images.
        tensors: {name: torch.Tensor} of parameters and moving averages. The module holds these
            themselves: modules made of the same tensors share them.
        training: whether it normalises by the batch (and then moves the averages) and drops what
            Dropout drops. The module's own ``train`` and ``eval`` change nothing.

    Raises:
        InputError: the symbol has an operator, or a setting of one, that is not known here.
    """
    from torch import fx

    known, content = operators(training), json.loads(symbol.tojson())
    graph, results = fx.Graph(), []

    def output(source):
        index, which, *_ = source
        several = content["nodes"][index]["op"] == "SliceChannel"
        return graph.call_function(getitem, (results[index], which)) if several else results[index]

    for node in content["nodes"]:
        name = node["name"]
        if node["op"] == "null":
            results.append(graph.get_attr(name) if name in tensors else graph.placeholder(name))
        else:
            inputs = tuple(output(source) for source in node["inputs"])
            function, settings = _translate(node, inputs, known)
            results.append(graph.call_function(function, inputs, settings))
    (head,) = content["heads"]
    graph.output(output(head))
    used = {node.target for node in graph.nodes if node.op == "get_attr"}
    return fx.GraphModule({name: tensors[name] for name in used}, graph)


def _translate(node, inputs, known):
    """Return the function and the settings of MXNet's ``node``."""
    settings = {key: _value(text) for key, text in node.get("attrs", {}).items()}
    try:
        function = known[node["op"]]
        inspect.signature(function).bind(*inputs, **settings)
    except (KeyError, TypeError):
        raise InputError(
            f"--engine torch does not know MXNet's {node['op']} {settings} (of {node['name']}): "
            "train this network with --engine mxnet"
        ) from None
    return function, settings


def _value(text):
    """Return a setting, which MXNet writes as text."""
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text
