"""Skip dropped paths of drop-path instead of multiplying them by zero.

In the compiled graph, a join is a sum of products: each input times a random weight, which is zero
for a dropped input (``network.drop_path.Join``). This module draws the weights first and then
computes only the nodes that the output needs. The output and all gradients are the same; batch
normalisation in a dropped path does not get the batch, so its averages do not change.
"""

from collections import defaultdict
from operator import getitem

from engine import torch_operators as ops


def skip_dropped_paths(module):
    """Return a module that computes the same as ``module``, but skips dropped paths.

    Args:
        module: a torch.fx.GraphModule of ``torch_module``. It is returned unchanged if it drops no
            paths, or if the weights depend on more than random numbers.
    """
    graph = module.graph
    _detach_draws(graph)
    weights = {node: weight for node in graph.nodes if (weight := _find_weight(node)) is not None}
    draws = _find_ancestors(weights.values())
    if not weights or any(node.op != "call_function" for node in draws):
        return module
    module.recompile()
    return _make_skipping_module(module, weights, [node for node in graph.nodes if node in draws])


def _detach_draws(graph):
    """Make the random weights independent of the images, of which they use a single index."""
    for node in list(graph.nodes):
        first = node.args[0] if node.target is ops.slice_axis else None
        settings = {"axis": 0, "begin": 0, "end": 1}
        if first is not None and first.target is ops.arange_like and node.kwargs == settings:
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.call_function(ops.first_index))
            graph.erase_node(node)


def _find_weight(node):
    """Return the weight of a product that a join sums, or None."""
    if node.target is not ops.multiply or any(u.target is not ops.add_all for u in node.users):
        return None
    blocked = node.args[1]
    if blocked.target is not ops.block_gradient or blocked.args[0].target is not ops.expand_like:
        return None
    weight = blocked.args[0].args[0]
    split = weight.target is getitem and weight.args[0].args[0].target is ops.reshape
    return weight if split else None  # otherwise, it may differ from image to image


def _find_ancestors(nodes):
    """Return ``nodes`` and all nodes that they depend on."""
    found, waiting = set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def _make_skipping_module(module, weights, draws):
    """Return the module of ``skip_dropped_paths``.

    Args:
        module: the torch.fx.GraphModule.
        weights: {product: the node of its weight}.
        draws: the nodes that the weights depend on, in order.
    """
    import torch

    class SkippingModule(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.graph_module = module

        def forward(self, images):
            values = {}
            for node in draws:
                values[node] = _run(node, node.args, values)
            drawn = torch.cat([values[weight].flatten() for weight in weights.values()]).tolist()
            factors = dict(zip(weights, drawn))
            plan, last_uses = _plan(module.graph, factors, values)
            for node, inputs in plan:
                values[node] = _compute(module, node, inputs, factors, values, images)
                for used in last_uses[node]:
                    del values[used]
            return values[plan[-1][0]]

    return SkippingModule()


def _compute(module, node, inputs, factors, values, images):
    """Return the value of a node of the plan; ``factors`` are the weights of products."""
    if node.op == "placeholder":
        return images
    if node.op == "get_attr":
        return getattr(module, node.target)
    if node.op == "output":
        return values[inputs[0]]
    if node in factors:
        factor = factors[node]
        return values[inputs[0]] if factor == 1 else values[inputs[0]] * factor
    return _run(node, inputs, values)


def _plan(graph, factors, done):
    """Return the nodes to compute, and after which node each value is no longer needed.

    Args:
        factors: {product: its weight as a number}.
        done: nodes that have been computed.

    Returns:
        [(node, inputs)] in order, and {node: [nodes whose last use it is]}.
    """
    nodes = list(graph.nodes)
    needed, plan, last_uses = {nodes[-1]}, [], defaultdict(list)
    for node in reversed(nodes):
        if node not in needed or node in done:
            continue
        inputs = node.args[:1] if node in factors else node.args
        inputs = tuple(each for each in inputs if factors.get(each, 1))  # those not dropped
        plan.append((node, inputs))
        for each in inputs:
            if hasattr(each, "users") and each not in needed:
                needed.add(each)
                last_uses[node].append(each)
    return plan[::-1], last_uses


def _run(node, inputs, values):
    """Compute a node of the graph from the values of other nodes."""
    arguments = [values[each] if hasattr(each, "users") else each for each in inputs]
    return node.target(*arguments, **node.kwargs)
