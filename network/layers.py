"""Layers that the families share, and the constants of batch normalisation."""

from typing import Any, Optional

import numpy as np
from mxnet.gluon import HybridBlock, contrib, nn

from command import InputError

BN_MOMENTUM = 0.9
BN_EPSILON = 2e-5


def conv_bn(
    channels: int,
    in_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    relu: bool = False,
    prefix: Optional[str] = None,
) -> HybridBlock:
    """Build conv, BN and, with ``relu``, ReLU; padded so that stride 1 keeps height and width.

    (batch, in_channels, height, width) -> (batch, channels, height / stride, width / stride),
    rounded up.

    Raises:
        InputError: ``kernel_size`` is even, so that no padding keeps height and width.
    """
    if kernel_size % 2 == 0:
        raise InputError(f"kernel_size must be odd, not {kernel_size}", argument="kernel_size")
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


def conv_chain(
    length: int, channels: int, in_channels: int, stride: int, prefix: Optional[str] = None
) -> HybridBlock:
    """Build ``length`` 3x3 convolutions with BN, and ReLU between them but not after the last.

    The first convolution has the stride: (batch, in_channels, height, width) -> (batch, channels,
    height / stride, width / stride).
    """
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


def residual_branch(
    channels: int, in_channels: int, stride: int, prefix: Optional[str] = None
) -> HybridBlock:
    """Build two 3x3 convolutions: conv, BN, ReLU, conv, BN; shapes as ``conv_chain``."""
    return conv_chain(2, channels, in_channels, stride, prefix)


def bottleneck(channels, in_channels, stride, prefix=None):
    """Build 1x1 conv to a quarter of ``channels``, 3x3 with the stride, 1x1 to ``channels``.

    Each has BN, and ReLU stands between them but not after the last. Shapes are those of
    ``conv_chain``.
    """
    inner = channels // 4
    layers = nn.HybridSequential(prefix=prefix)
    with layers.name_scope():
        layers.add(
            conv_bn(inner, in_channels, 1, relu=True, prefix="layer1_"),
            conv_bn(inner, inner, 3, stride, relu=True, prefix="layer2_"),
            conv_bn(channels, inner, 1, prefix="layer3_"),
        )
    return layers


def shortcut(
    channels: int,
    in_channels: int,
    stride: int,
    prefix: Optional[str] = None,
    kernel_size: int = 1,
) -> HybridBlock:
    """Build the identity, or conv and BN where the shape changes; shapes as ``conv_chain``."""
    if channels == in_channels and stride == 1:
        return contrib.nn.Identity(prefix=prefix)
    return conv_bn(channels, in_channels, kernel_size, stride, prefix=prefix)


class OwnStatistics(HybridBlock):
    """Batch normalisation with the gamma and beta of ``norm`` and its own moving averages.

    Networks that share weights see different activations, so each needs its own averages.
    """

    def __init__(self, norm, **kwargs):
        super().__init__(**kwargs)
        self._settings = {name: norm._kwargs[name] for name in ("eps", "momentum", "fix_gamma")}
        self.gamma, self.beta = norm.gamma, norm.beta
        self.params.update({shared.name: shared for shared in (norm.gamma, norm.beta)})
        for name, init in (("running_mean", "zeros"), ("running_var", "ones")):
            options = {"shape": norm.gamma.shape, "init": init, "differentiable": False}
            setattr(self, name, self.params.get(name, grad_req="null", **options))

    def cast(self, dtype):
        """Cast to ``dtype``, but keep float32 in a float16 network, as Gluon's BatchNorm does."""
        super().cast("float32" if np.dtype(dtype) == np.float16 else dtype)

    def hybrid_forward(self, F, x, gamma, beta, running_mean, running_var):
        statistics = (running_mean, running_var)
        return F.BatchNorm(x, gamma, beta, *statistics, **self._settings)


def with_own_statistics(layers, prefix):
    """Return the ``layers`` in sequence, each BN replaced by one with its own moving averages.

    Layers inside a HybridSequential are replaced, too; parameters are shared.

    Raises:
        InputError: a layer of another kind contains a BN, which would not be replaced.
    """
    row = nn.HybridSequential(prefix=prefix)
    with row.name_scope():
        for number, layer in enumerate(layers, 1):
            if isinstance(layer, nn.HybridSequential):
                row.add(with_own_statistics(layer, f"unit{number}_"))
            elif isinstance(layer, nn.BatchNorm):
                row.add(OwnStatistics(layer, prefix="norm_"))
            else:
                require_no_norm(layer)
                row.add(layer)
    return row


def require_no_norm(layer):
    """Check that a layer other than a HybridSequential or a BN contains no BN.

    Raises:
        InputError: it does, so its BN cannot be found in the sequence of a branch's layers.
    """
    found = []
    layer.apply(lambda block: found.append(block) if isinstance(block, nn.BatchNorm) else None)
    if found:
        raise InputError(
            f"the batch normalisation {found[0].name} is inside of a {type(layer).__name__}: make "
            "branches of HybridSequential, whose layers can be studied"
        )


def relu(F: Any, x: Any) -> Any:
    """Return ReLU of ``x``, computed by the operator that uses oneDNN; ``F.relu`` is slower.

    Args:
        F: ``mx.nd`` or ``mx.sym``, as in ``hybrid_forward``.
    """
    return F.Activation(x, act_type="relu")


def global_average(F, x):
    """Return the mean over height and width, as (batch, channels)."""
    return F.mean(x, axis=(2, 3))
