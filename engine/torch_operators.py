"""Implement MXNet's operators in PyTorch: those of the project's networks and of gluoncv's.

A function takes tensors and, as keywords, MXNet's settings, and computes the operator's result. It
has no parameter for a setting that it does not support; SUPPORTED tests values of the others.
Settings that do not change the result are accepted and ignored.
"""

import math

from command import InputError


def unsupported(what):
    """Return the InputError that this engine does not support ``what``."""
    return InputError(
        f"torch does not support {what}: train this network with engine mxnet", argument="engine"
    )


def operators(training):
    """Return {MXNet's name: function}.

    Args:
        training: whether BatchNorm normalises with the batch, and Dropout drops.
    """
    modes = {"BatchNorm": train_batch_norm, "Dropout": dropout}
    return {**OPERATORS, **(modes if training else {})}


def convolution(
    x,
    weight,
    bias=None,
    *,
    kernel,
    num_filter,
    stride=1,
    pad=0,
    dilate=1,
    num_group=1,
    no_bias=False,
    layout="NCHW",
):
    """Convolve (batch, channels, height, width)."""
    from torch.nn import functional

    return functional.conv2d(x, weight, bias, stride, pad, dilate, num_group)


def fully_connected(x, weight, bias=None, *, num_hidden, no_bias=False, flatten=True):
    """Multiply by a matrix; add a bias."""
    from torch.nn import functional

    return functional.linear(x.flatten(1) if flatten else x, weight, bias)


def batch_norm(
    x,
    gamma,
    beta,
    mean,
    var,
    *,
    eps=1e-3,
    momentum=0.9,
    fix_gamma=True,
    use_global_stats=False,
    axis=1,
):
    """Normalise with the moving averages."""
    from torch.nn import functional

    gamma = gamma.new_ones(gamma.shape) if fix_gamma else gamma
    return functional.batch_norm(x, mean, var, gamma, beta, False, 1 - momentum, eps)


def train_batch_norm(
    x,
    gamma,
    beta,
    mean,
    var,
    *,
    eps=1e-3,
    momentum=0.9,
    fix_gamma=True,
    use_global_stats=False,
    axis=1,
):
    """Normalise with the batch, and update the moving averages."""
    import torch

    if use_global_stats:
        return batch_norm(x, gamma, beta, mean, var, eps=eps, fix_gamma=fix_gamma)
    gamma = gamma.new_ones(gamma.shape) if fix_gamma else gamma
    moved, count = var.clone(), x.numel() // x.shape[1]
    # functional.batch_norm is not used, because it refuses a single value in each channel
    cudnn = torch.backends.cudnn.enabled
    y = torch.batch_norm(x, gamma, beta, mean, moved, True, 1 - momentum, eps, cudnn)
    if count == 1:  # its variance is 0; PyTorch's unbiased one is not a number
        var.mul_(momentum)
        return y
    # PyTorch updates the average with the unbiased variance of the batch, MXNet with the biased one
    var.mul_(momentum / count).add_(moved, alpha=1 - 1 / count)
    return y


def activation(x, *, act_type):
    """Apply ReLU, sigmoid or tanh."""
    return {"relu": x.relu, "sigmoid": x.sigmoid, "tanh": x.tanh}[act_type]()


def leaky_relu(x, *, act_type="leaky", slope=0.25):
    """Multiply negative values by ``slope``."""
    from torch.nn import functional

    return functional.leaky_relu(x, slope)


def pad_with(x, *, mode, pad_width, constant_value=0):
    """Add a constant before and after each axis; ``pad_width`` has two numbers for each."""
    from torch.nn import functional

    pairs = list(zip(pad_width[::2], pad_width[1::2]))
    return functional.pad(x, sum(reversed(pairs), ()), value=constant_value)


def resize(x, *, height, width, mode="size", align_corners=True):
    """Resize images by linear interpolation."""
    from torch.nn import functional

    size = (height, width)
    return functional.interpolate(x, size, mode="bilinear", align_corners=align_corners)


def dropout(x, *, p=0.5, axes=(), cudnn_off=False):
    """Drop values with probability p, and scale the others, in training."""
    from torch.nn import functional

    return functional.dropout(x, p)


def keep(x, *, p=0.5, axes=(), cudnn_off=False):
    """Return x unchanged: dropout outside of training."""
    return x


def pooling(
    x,
    *,
    kernel=(),
    pool_type="max",
    global_pool=False,
    stride=None,
    pad=0,
    pooling_convention="valid",
    count_include_pad=True,
    layout="NCHW",
):
    """Pool by maximum or mean."""
    from torch.nn import functional

    pool = {"max": functional.max_pool2d, "avg": functional.avg_pool2d}[pool_type]
    if global_pool:
        return pool(x, tuple(x.shape[2:]))
    stride, pad = stride or (1, 1), pad or (0, 0)
    options = {"ceil_mode": pooling_convention == "full"}
    if pool_type == "avg":
        options["count_include_pad"] = count_include_pad
    y = pool(x, kernel, stride, pad, **options)
    if options["ceil_mode"]:
        _require_all_windows(x.shape[2:], y.shape[2:], kernel, stride, pad)
    return y


def _require_all_windows(lengths, found, kernel, stride, pad):
    """Raise an InputError if PyTorch left out windows, as it does if they begin in the padding."""
    for length, number, k, s, p in zip(lengths, found, kernel, stride, pad):
        if number <= (length + 2 * p - k + s - 1) // s:
            raise unsupported(
                f"MXNet's Pooling of {length} values with kernel {k}, stride {s}, padding {p} and "
                "ceil_mode"
            )


def adaptive_average_pooling(x, *, output_size):
    """Average over regions of the image, so that the output has a given size."""
    from torch.nn import functional

    return functional.adaptive_avg_pool2d(x, output_size)


def reduce_by(method):
    """Return the operator that applies a tensor's ``method`` along one axis, several or all."""

    def reduce(x, *, axis=None, keepdims=False):
        dims = tuple(range(x.dim())) if axis is None else axis
        y = getattr(x, method)(dims, keepdim=keepdims)
        return y.reshape(1) if axis is None and not keepdims else y

    return reduce


def concatenate(*inputs, num_args, dim=1):
    """Join tensors along an axis."""
    import torch

    return torch.cat(inputs, dim)


def stack(*inputs, num_args, axis=0):
    """Join tensors along a new axis."""
    import torch

    return torch.stack(inputs, axis)


def arange_like(x, *, axis):
    """Return 0, 1, ... along an axis of x."""
    import torch

    return torch.arange(x.shape[axis], device=x.device, dtype=torch.float32)


def first_index():
    """Return the first number of ``arange_like``, 0."""
    import torch

    return torch.zeros(1)


def reshape(x, *, shape):
    """Change the shape.

    0 keeps a dimension, -1 stands for what remains, -2 for all other dimensions, -3 for the product
    of two; -4 divides a dimension by the two numbers that follow it.
    """
    lengths, axis, codes = [], 0, iter(shape)
    for code in codes:
        if code == -2:
            lengths += x.shape[axis:]
        elif code == -3:
            lengths.append(math.prod(x.shape[axis : axis + 2]))
            axis += 2
        elif code == -4:
            parts, whole = [next(codes), next(codes)], x.shape[axis]
            lengths += [whole // max(-math.prod(parts), 1) if n == -1 else n for n in parts]
            axis += 1
        else:
            lengths.append(x.shape[axis] if code == 0 else code)
            axis += 1
    return x.reshape(lengths)


def slice_axis(x, *, axis, begin, end):
    """Take the part of an axis from ``begin`` to before ``end``; negative ones count backwards."""
    length = x.shape[axis]
    begin = begin % length if begin < 0 else begin
    end = length if end is None else end % length if end < 0 else end
    return x.narrow(axis, begin, end - begin)


def slice_all(x, *, begin, end, step=()):
    """Take a part of each of the first axes; None means from its start or to its end."""
    return x[tuple(map(slice, begin, end))]


def repeat_pixels(x, *, scale, sample_type, num_args=1):
    """Enlarge images by repeating pixels."""
    return x.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def expand_like(x, y):
    """Repeat x so that it has the shape of y."""
    return x.expand_as(y)


def block_gradient(x):
    """Return x as a constant, without a gradient."""
    return x.detach()


def random_like(x):
    """Draw numbers from 0 to 1 in the shape of x."""
    import torch

    return torch.rand_like(x)


def add(x, y):
    """Add two tensors of one shape."""
    return x + y


def add_all(*inputs, num_args):
    """Add any number of tensors."""
    return sum(inputs[1:], inputs[0])


def multiply(x, y):
    """Multiply two tensors of one shape."""
    return x * y


def multiply_by(x, *, scalar):
    """Multiply by a number."""
    return x * scalar


OPERATORS = {
    "Activation": activation,
    "BatchNorm": batch_norm,
    "BlockGrad": block_gradient,
    "Concat": concatenate,
    "Convolution": convolution,
    "Dropout": keep,
    "Flatten": lambda x: x.flatten(1),
    "FullyConnected": fully_connected,
    "LeakyReLU": leaky_relu,
    "Pad": pad_with,
    "Pooling": pooling,
    "Reshape": reshape,
    "SliceChannel": lambda x, *, num_outputs, axis=1: x.chunk(num_outputs, axis),
    "SwapAxis": lambda x, *, dim1, dim2: x.transpose(dim1, dim2),
    "UpSampling": repeat_pixels,
    "_contrib_AdaptiveAvgPooling2D": adaptive_average_pooling,
    "_contrib_BilinearResize2D": resize,
    "_contrib_arange_like": arange_like,
    "_copy": lambda x: x,
    "_div_scalar": lambda x, *, scalar: x / scalar,
    "_minus_scalar": lambda x, *, scalar: x - scalar,
    "_mul_scalar": multiply_by,
    "_plus_scalar": lambda x, *, scalar: x + scalar,
    "_random_uniform_like": random_like,
    "_rminus_scalar": lambda x, *, scalar: scalar - x,
    "add_n": add_all,
    "broadcast_add": lambda x, y: x + y,
    "broadcast_div": lambda x, y: x / y,
    "broadcast_equal": lambda x, y: (x == y).to(x.dtype),
    "broadcast_like": expand_like,
    "broadcast_mul": lambda x, y: x * y,
    "broadcast_sub": lambda x, y: x - y,
    "clip": lambda x, *, a_min, a_max: x.clamp(a_min, a_max),
    "elemwise_add": add,
    "elemwise_mul": multiply,
    "exp": lambda x: x.exp(),
    "expand_dims": lambda x, *, axis: x.unsqueeze(axis),
    "log": lambda x: x.log(),
    "log_softmax": lambda x, *, axis=-1: x.log_softmax(axis),
    "max": reduce_by("amax"),
    "mean": reduce_by("mean"),
    "ones_like": lambda x: x.new_ones(x.shape),
    "relu": lambda x: x.relu(),
    "sign": lambda x: x.sign(),
    "slice": slice_all,
    "slice_axis": slice_axis,
    "softmax": lambda x, *, axis=-1: x.softmax(axis),
    "squeeze": lambda x, *, axis: x.squeeze(axis),
    "stack": stack,
    "sum": reduce_by("sum"),
    "tile": lambda x, *, reps: x.tile(reps),
}


def _is_two_dimensional(kernel=(1, 1), layout=None, global_pool=False, **others):
    return layout in (None, "NCHW") and (global_pool or len(kernel) == 2)


# {operator: function of its settings: whether their values are supported}.
SUPPORTED = {
    "Activation": lambda s: s["act_type"] in ("relu", "sigmoid", "tanh"),
    "BatchNorm": lambda s: s.get("axis", 1) == 1,
    "Convolution": lambda s: _is_two_dimensional(**s),
    "Dropout": lambda s: not s.get("axes"),
    "LeakyReLU": lambda s: s.get("act_type", "leaky") == "leaky",
    "Pad": lambda s: s["mode"] == "constant",
    "Pooling": lambda s: _is_two_dimensional(**s) and s.get("pool_type", "max") in ("max", "avg"),
    "Reshape": lambda s: min(s["shape"]) >= -4,
    "UpSampling": lambda s: s["sample_type"] == "nearest" and s["num_args"] == 1,
    "_contrib_BilinearResize2D": lambda s: s.get("mode", "size") == "size",
    "slice": lambda s: all(step in (None, 1) for step in s.get("step", ())),
}
