"""FractalNet whose columns get thinner as they get deeper."""

from mxnet.gluon import nn

from command import InputError
from network.fractal import FractalBlock, FractalNet, conv_unit, find_columns_ending
from network.registry import register_model

DEPTH = 40
KERNEL_SIZES = ((3,), (1,), (1,), (1, 3))  # kernel sizes of each column's convolutions, repeated


class TaperedBlock(FractalBlock):
    """A FractalBlock whose column c has 1 / 2^c of the channels of column 0.

    Before a join, a linear 1x1 convolution widens each column to the join's widest column.
    """

    def make_units(self, column, channels, in_channels, dropout):
        columns = len(KERNEL_SIZES)
        span = 2 ** (columns - 1 - column)  # steps of a convolution
        width, units = channels >> column, []
        for index in range(2**column):
            joined = channels >> min(find_columns_ending((index + 1) * span, columns))
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
    """Build FractalNet of 40 layers and 22,925,108 parameters (widen_factor 4, 100 classes).

    Its columns have 32, 16, 8 and 4 times ``widen_factor`` channels in the first block, and twice
    as many in each following block except the last. The paper states "a mix of 1x1 and 3x3 filters"
    and 22.9M parameters, but not which columns have which filters. Here the widest column has 3x3,
    the next two have 1x1, and the deepest alternates 1x1 and 3x3: the simplest pattern, of those
    tried, that has this number of parameters.
    """
    if depth != DEPTH:
        raise InputError(f"depth {depth} is not possible: the tapered FractalNet has depth {DEPTH}")
    return FractalNet(TaperedBlock, depth, classes, 2 * widen_factor, dropout, drop_path, **kwargs)
