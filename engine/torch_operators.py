"""MXNet's operators in PyTorch, as far as the networks here, and most of gluoncv's, have them."""


def operators(training):
    """{MXNet's name: function of tensors and, by keyword, MXNet's settings}.

    A function gives what the operator would. It has no parameter for a setting that it does not
    know; those that change no result it takes and leaves.

    Args:
        training: whether BatchNorm goes by the batch, and Dropout drops.
    """
    import torch
    from torch.nn import functional

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
        return functional.conv2d(x, weight, bias, stride, pad, dilate, num_group)

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
        gamma = torch.ones_like(gamma) if fix_gamma else gamma
        if not training or use_global_stats:
            return functional.batch_norm(x, mean, var, gamma, beta, False, 1 - momentum, eps)
        moved, count = var.clone(), x.numel() // x.shape[1]
        y = functional.batch_norm(x, mean, moved, gamma, beta, True, 1 - momentum, eps)
        # PyTorch moves the average by the unbiased variance of the batch, MXNet by the biased one
        var.mul_(momentum / count).add_(moved, alpha=1 - 1 / count)
        return y

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
        reduce = {"max": functional.max_pool2d, "avg": functional.avg_pool2d}[pool_type]
        if global_pool:
            return reduce(x, tuple(x.shape[2:]))
        options = {"ceil_mode": pooling_convention == "full"}
        if pool_type == "avg":
            options["count_include_pad"] = count_include_pad
        return reduce(x, kernel, stride, pad, **options)

    def fully_connected(x, weight, bias=None, *, num_hidden, no_bias=False, flatten=True):
        return functional.linear(x.flatten(1) if flatten else x, weight, bias)

    def activation(x, *, act_type):
        return {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[act_type](x)

    def reduced(function):
        def reduction(x, *, axis=None, keepdims=False):
            dims = tuple(range(x.dim())) if axis is None else axis
            y = function(x, dims, keepdim=keepdims)
            return y.reshape(1) if axis is None and not keepdims else y

        return reduction

    def add_n(*inputs, num_args):
        return sum(inputs[1:], inputs[0])

    return {
        "Activation": activation,
        "BatchNorm": batch_norm,
        "BlockGrad": lambda x: x.detach(),
        "Concat": lambda *inputs, num_args, dim=1: torch.cat(inputs, dim),
        "Convolution": convolution,
        "Dropout": lambda x, *, p=0.5, axes=(), cudnn_off=False: functional.dropout(x, p, training),
        "Flatten": lambda x: x.flatten(1),
        "FullyConnected": fully_connected,
        "Pooling": pooling,
        "Reshape": lambda x, *, shape: x.reshape(shape),
        "SliceChannel": lambda x, *, num_outputs, axis=1: x.chunk(num_outputs, axis),
        "_contrib_AdaptiveAvgPooling2D": lambda x, *, output_size: functional.adaptive_avg_pool2d(
            x, output_size
        ),
        "_contrib_arange_like": lambda x, *, axis: torch.arange(
            x.shape[axis], device=x.device, dtype=torch.float32
        ),
        "_copy": lambda x: x,
        "_div_scalar": lambda x, *, scalar: x / scalar,
        "_mul_scalar": lambda x, *, scalar: x * scalar,
        "_plus_scalar": lambda x, *, scalar: x + scalar,
        "_random_uniform_like": lambda x: torch.rand_like(x),
        "_rminus_scalar": lambda x, *, scalar: scalar - x,
        "add_n": add_n,
        "broadcast_add": lambda x, y: x + y,
        "broadcast_div": lambda x, y: x / y,
        "broadcast_equal": lambda x, y: (x == y).to(x.dtype),
        "broadcast_like": lambda x, y: x.expand_as(y),
        "broadcast_mul": lambda x, y: x * y,
        "broadcast_sub": lambda x, y: x - y,
        "clip": lambda x, *, a_min, a_max: x.clamp(a_min, a_max),
        "elemwise_add": lambda x, y: x + y,
        "elemwise_mul": lambda x, y: x * y,
        "exp": lambda x: x.exp(),
        "log": lambda x: x.log(),
        "log_softmax": lambda x, *, axis=-1: torch.log_softmax(x, axis),
        "max": reduced(torch.amax),
        "mean": reduced(torch.mean),
        "ones_like": lambda x: torch.ones_like(x),
        "sign": lambda x: x.sign(),
        "slice_axis": lambda x, *, axis, begin, end: x.narrow(axis, begin, end - begin),
        "squeeze": lambda x, *, axis: x.squeeze(axis),
        "stack": lambda *inputs, num_args, axis=0: torch.stack(inputs, axis),
        "sum": reduced(torch.sum),
        "tile": lambda x, *, reps: x.tile(reps),
    }
