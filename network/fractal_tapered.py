"""FractalNet whose columns get thinner as they get deeper."""

from mxnet.gluon import nn

from command import InputError
from network.fractal import FractalBlock, FractalNet, columns_ending, conv_unit
from network.registry import register_model

DEPTH = 40
KERNEL_SIZES = ((3,), (1,), (1,), (1, 3))  # of each column's convolutions, over and over


class TaperedBlock(FractalBlock):
    """A FractalBlock whose column c has 1 / 2^c of the channels of column 0.

    Before a join, a linear 1x1 convolution widens thinner columns to the widest that joins.
    """

    def make_units(self, column, channels, in_channels, dropout):
        columns = len(KERNEL_SIZES)
        span = 2 ** (columns - 1 - column)  # steps of a convolution
        width, units = channels >> column, []
        for index in range(2**column):
            joined = channels >> min(columns_ending((index + 1) * span, columns))
            kernel_size = KERNEL_SIZES[column][index % len(KERNEL_SIZES[column])]
            unit = conv_unit(width, in_channels, dropout, kernel_size, prefix=f"unit{index + 1}_")
            if joined != width:
                with unit.name_scope():
                    unit.add(
                        nn.Conv2D(joined, 1, in_channels=width, use_bias=False, prefix="widen_")
                    )
            units.append(unit)
            in_channels = joined
        return units


@register_model(recipe_family="fractal", has_columns=True)
def fractal_tapered(depth=DEPTH, classes=10, widen_factor=1, dropout=0.0, drop_path=0.0, **kwargs):
    """FractalNet of 40 layers and 22.9M parameters (widen_factor 4, 100 classes: 22,925,108).

    Its columns are 32, 16, 8 and 4 times ``widen_factor`` channels wide in the first block, twice
    that in each block but the last. The paper has "a mix of 1x1 and 3x3 filters" and does not say
    which: 3x3 in the widest column, 1x1 in the next two, 1x1 and 3x3 by turns in the deepest come
    to its number of parameters, as no simpler pattern of those tried did.
    """
    if depth != DEPTH:
        raise InputError(f"depth {depth} cannot be: the tapered FractalNet has depth {DEPTH}")
    return FractalNet(TaperedBlock, depth, classes, 2 * widen_factor, dropout, drop_path, **kwargs)
