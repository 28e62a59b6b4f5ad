"""A compiled network, MXNet's symbol, as one ``torch.nn.Module``."""

import inspect
import json
from ast import literal_eval
from operator import getitem

from command import InputError
from engine.torch_operators import operators


def torch_module(symbol, tensors, training):
    """The torch.fx.GraphModule that computes ``symbol``: images -> its output.

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
        name, kind = node["name"], node["op"]
        if kind == "null":
            results.append(graph.get_attr(name) if name in tensors else graph.placeholder(name))
            continue
        inputs = [output(source) for source in node["inputs"]]
        settings = {key: _value(text) for key, text in node.get("attrs", {}).items()}
        try:
            function = known[kind]
            inspect.signature(function).bind(*inputs, **settings)
        except (KeyError, TypeError):
            raise InputError(
                f"--engine torch does not know MXNet's {kind} {settings} (of {name}): train this "
                "network with --engine mxnet"
            ) from None
        results.append(graph.call_function(function, tuple(inputs), settings))
    (head,) = content["heads"]
    graph.output(output(head))
    used = {node.target for node in graph.nodes if node.op == "get_attr"}
    return fx.GraphModule({name: tensors[name] for name in used}, graph)


def _value(text):
    """A setting, which MXNet writes as text."""
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text
