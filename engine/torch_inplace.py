"""Let ReLUs, sums and factors overwrite an input that nothing else needs."""

from engine import torch_operators as ops


def relu_(x, *, act_type):
    """Overwrite x with relu(x)."""
    return x.relu_()


def add_(x, y):
    """Overwrite x with x + y, if x has the type of the sum."""
    return x.add_(y) if x.dtype == y.dtype else x + y


def multiply_by_(x, *, scalar):
    """Overwrite x with x times a number."""
    return x.mul_(scalar)


IN_PLACE = {ops.activation: relu_, ops.add: add_, ops.multiply_by: multiply_by_}
# Operators whose result is a new array that their own backward pass does not need.
FRESH = {ops.batch_norm, ops.train_batch_norm, ops.add, ops.multiply_by, add_, multiply_by_}


def reuse_memory(module):
    """Let the operators of a torch.fx.GraphModule overwrite an input that only they use.

    Results are bit-identical. The backward pass needs the results of convolutions and ReLUs; it
    does not need the results of batch normalisation, sums and factors.
    """
    for node in module.graph.nodes:
        if node.target is ops.activation and node.kwargs != {"act_type": "relu"}:
            continue
        if node.target is ops.add and not _is_free(node.args[0]):
            node.args = node.args[::-1]
        if node.target in IN_PLACE and _is_free(node.args[0]):
            node.target = IN_PLACE[node.target]
    module.recompile()


def _is_free(node):
    return node.op == "call_function" and node.target in FRESH and len(node.users) == 1
