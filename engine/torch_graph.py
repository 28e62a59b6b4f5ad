"""Convert a compiled network, MXNet's symbol, to one ``torch.nn.Module``."""

import inspect
import json
from ast import literal_eval
from operator import getitem

from engine.torch_operators import SUPPORTED, operators, unsupported


def torch_module(symbol, tensors, training):
    """Return the torch.fx.GraphModule that computes ``symbol``: images -> its output.

    Args:
        symbol: an mx.sym.Symbol with one output; the images are its only input besides parameters.
        tensors: {name: torch.Tensor} of parameters and moving averages. The module uses them
            directly: modules made from the same tensors share them.
        training: whether BatchNorm normalises with the batch (and updates the averages) and Dropout
            drops. The module's own ``train`` and ``eval`` have no effect.

    Raises:
        InputError: the symbol has an operator, or a setting of one, that is not supported.
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
        if node["op"] in SUPPORTED and not SUPPORTED[node["op"]](settings):
            raise TypeError("a value of a setting")
    except (KeyError, TypeError):
        raise unsupported(f"MXNet's {node['op']} {settings} (of {node['name']})") from None
    return function, settings


def _value(text):
    """Return the value of a setting, which MXNet writes as text."""
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text
