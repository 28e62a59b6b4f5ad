"""Layers that the families share. The constants of batch normalisation have their home here."""

import numpy as np
from mxnet.gluon import HybridBlock, contrib, nn

BN_MOMENTUM = 0.9
BN_EPSILON = 2e-5


def conv_bn(channels, in_channels, kernel_size=3, stride=1, relu=False, prefix=None):
    """Conv, BN and, with ``relu``, ReLU; padded so that stride 1 keeps height and width.

    (batch, in_channels, height, width) -> (batch, channels, height / stride, width / stride).
    """
    layers = nn.HybridSequential(prefix=prefix)
    with layers.name_scope():
        layers.add(
            nn.Conv2D(
                channels,
                kernel_size,
                stride,
                kernel_size // 2,
                in_channels=in_channels,
                use_bias=False,
            ),
            nn.BatchNorm(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, in_channels=channels),
        )
        if relu:
            layers.add(nn.Activation("relu"))
    return layers


def conv_chain(length, channels, in_channels, stride, prefix=None):
    """``length`` times 3x3 conv and BN, ReLU between, none after the last; stride at the first."""
    layers = nn.HybridSequential(prefix=prefix)
    with layers.name_scope():
        for index in range(length):
            first, last = index == 0, index == length - 1
            layers.add(
                conv_bn(
                    channels,
                    in_channels if first else channels,
                    stride=stride if first else 1,
                    relu=not last,
                    prefix=f"layer{index + 1}_",
                )
            )
    return layers


def residual_branch(channels, in_channels, stride, prefix=None):
    """Two 3x3 convolutions: conv, BN, ReLU, conv, BN."""
    return conv_chain(2, channels, in_channels, stride, prefix)


def bottleneck(channels, in_channels, stride, prefix=None):
    """1x1 conv to a quarter of ``channels``, 3x3 with the stride, 1x1 back, each with BN; ReLU
    between, none after the last."""
    inner = channels // 4
    layers = nn.HybridSequential(prefix=prefix)
    with layers.name_scope():
        layers.add(
            conv_bn(inner, in_channels, 1, relu=True, prefix="layer1_"),
            conv_bn(inner, inner, 3, stride, relu=True, prefix="layer2_"),
            conv_bn(channels, inner, 1, prefix="layer3_"),
        )
    return layers


def shortcut(channels, in_channels, stride, prefix=None, kernel_size=1):
    """The input itself, or a conv (1x1 unless told) and BN where the width changes."""
    if channels == in_channels:
        return contrib.nn.Identity(prefix=prefix)
    return conv_bn(channels, in_channels, kernel_size, stride, prefix=prefix)


class OwnStatistics(HybridBlock):
    """The batch normalisation ``norm`` with moving averages of its own; gamma and beta are norm's.

    For networks that share weights and meet other activations: averages over both fit neither.
    """

    def __init__(self, norm, **kwargs):
        super().__init__(**kwargs)
        self.gamma, self.beta = norm.gamma, norm.beta
        self.params.update({shared.name: shared for shared in (norm.gamma, norm.beta)})
        for name, init in (("running_mean", "zeros"), ("running_var", "ones")):
            options = {"shape": norm.gamma.shape, "init": init, "differentiable": False}
            setattr(self, name, self.params.get(name, grad_req="null", **options))

    def cast(self, dtype):
        """As Gluon's BatchNorm: float16 networks normalise in float32."""
        super().cast("float32" if np.dtype(dtype) == np.float16 else dtype)

    def hybrid_forward(self, F, x, gamma, beta, running_mean, running_var):
        statistics = (running_mean, running_var)
        return F.BatchNorm(
            x, gamma, beta, *statistics, eps=BN_EPSILON, momentum=BN_MOMENTUM, fix_gamma=False
        )


def own_statistics(layers, prefix):
    """The same layers in a row, but for moving averages of their own; units are taken apart."""
    row = nn.HybridSequential(prefix=prefix)
    with row.name_scope():
        for number, layer in enumerate(layers, 1):
            if isinstance(layer, nn.HybridSequential):
                row.add(own_statistics(layer, f"unit{number}_"))
            elif isinstance(layer, nn.BatchNorm):
                row.add(OwnStatistics(layer, prefix="norm_"))
            else:
                row.add(layer)
    return row


def relu(F, x):
    """ReLU by the operator that runs on oneDNN; ``F.relu`` does not, and is slower backward."""
    return F.Activation(x, act_type="relu")


def global_average(F, x):
    """Mean over height and width: (batch, channels, height, width) -> (batch, channels)."""
    return F.mean(x, axis=(2, 3))
