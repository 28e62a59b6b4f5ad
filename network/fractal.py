"""FractalNet, its columns, and the plain network with the structure of a column.

Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals", ICLR 2017.
"""

import warnings
from typing import Tuple

from mxnet.gluon import HybridBlock, contrib, nn

from command import InputError
from network.drop_path import Join
from network.layers import BN_EPSILON, BN_MOMENTUM, global_average, with_own_statistics
from network.registry import register_model

BLOCK_CHANNELS = (16, 32, 64, 128, 128)
MOST_COLUMNS = 6
DEPTHS = tuple(len(BLOCK_CHANNELS) * 2**column for column in range(MOST_COLUMNS))


def count_columns(depth, depths=DEPTHS):
    """Return the number of columns that give ``depth``; ``depths`` are those of 1, 2, ... columns.

    Raises:
        InputError: no number of columns gives that depth.
    """
    if depth not in depths:
        *most, last = map(str, depths)
        raise InputError(f"depth {depth} is not possible: choose {', '.join(most)} or {last}")
    return depths.index(depth) + 1


def conv_unit(channels, in_channels, dropout, kernel_size=3, prefix=None):
    """Build conv, dropout, BN, ReLU (the authors' order); height and width do not change.

    (batch, in_channels, height, width) -> (batch, channels, height, width).
    """
    unit = nn.HybridSequential(prefix=prefix)
    with unit.name_scope():
        unit.add(
            nn.Conv2D(
                channels,
                kernel_size,
                padding=kernel_size // 2,
                in_channels=in_channels,
                use_bias=False,  # unlike the authors; BN's beta does the same
                prefix="conv_",
            ),
            nn.Dropout(dropout) if dropout else contrib.nn.Identity(),
            nn.BatchNorm(
                momentum=BN_MOMENTUM, epsilon=BN_EPSILON, in_channels=channels, prefix="norm_"
            ),
            nn.Activation("relu"),
        )
    return unit


def conv_units(length, channels, in_channels, dropout):
    """Return ``length`` units, to be run in sequence."""
    return [
        conv_unit(channels, channels if index else in_channels, dropout, prefix=f"unit{index + 1}_")
        for index in range(length)
    ]


def find_columns_ending(step, columns):
    """Return which of C = ``columns`` columns end a convolution at ``step``, 1 to 2^(C-1)."""
    steps = 2 ** (columns - 1)
    return [c for c in range(columns) if step * 2**c % steps == 0]


class FractalBlock(HybridBlock):
    """f_1(z) = conv(z); f_{C+1}(z) = join((f_C o f_C)(z), conv(z)); then 2x2 max-pooling.

    Written out, it has 2^(C-1) steps. Column c has 2^c convolutions, each of which spans
    2^(C-1-c) steps. The columns with a convolution that ends at a step are joined there, and each
    of them continues from the join. Each column is pooled just before the block's last join, as in
    the authors' code.

    (batch, in_channels, height, width) -> (batch, channels, height / 2, width / 2).

    Args:
        columns: C.
        dropout: rate after each convolution.
        drop_path: see ``network.drop_path.Join``.
    """

    def __init__(self, columns, channels, in_channels, dropout, drop_path, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.columns = nn.HybridSequential(prefix="")
            for index in range(columns):
                column = nn.HybridSequential(prefix=f"column{index}_")
                with column.name_scope():
                    column.add(*self.make_units(index, channels, in_channels, dropout))
                self.columns.add(column)
            self.pool = self.make_pool()
            self.join = Join(drop_path)

    def make_pool(self):
        """Build the layer that halves height and width."""
        return nn.MaxPool2D(2)

    def make_units(self, column, channels, in_channels, dropout):
        """Return the units of ``column``, from 0."""
        return conv_units(2**column, channels, in_channels, dropout)

    def column(self, index):
        """Return the layers of column ``index``, from 0, in sequence."""
        return [*self.columns[index], self.pool]

    def steps(self):
        """Return, for each step, the units that end there: {column: unit}."""
        columns = len(self.columns)
        units = [iter(column) for column in self.columns]
        return [
            {c: next(units[c]) for c in find_columns_ending(step, columns)}
            for step in range(1, 2 ** (columns - 1) + 1)
        ]

    def joins(self):
        """Return, for each join of several columns, the units that end there: {column: unit}."""
        return [units for units in self.steps() if len(units) > 1]

    def hybrid_forward(self, F, x):
        inputs = [x] * len(self.columns)
        for units in self.steps():
            outputs = [unit(inputs[c]) for c, unit in units.items()]
            if len(units) == len(self.columns):
                outputs = [self.pool(y) for y in outputs]
            joined = self.join(*outputs)
            for c in units:
                inputs[c] = joined
        return joined


class PlainNet(HybridBlock):
    """logits = classifier(global average(blocks(x))); a block is convolutions, then a pool.

    Images (batch, 3, 32, 32) -> logits (batch, classes). It has the structure of a column, so it
    loads the parameters that ``net.column(c).save_parameters`` writes for its depth.
    """

    def __init__(self, depth, classes, widen_factor, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        length, widths = 2 ** (count_columns(depth) - 1), scale_widths(widen_factor)
        rates = scale_dropout(dropout, len(widths))
        with self.name_scope():
            self.blocks = nn.HybridSequential(prefix="")
            with self.blocks.name_scope():
                for index, (in_channels, channels) in enumerate(zip((3, *widths), widths)):
                    block = nn.HybridSequential(prefix=f"block{index + 1}_")
                    with block.name_scope():
                        block.add(*conv_units(length, channels, in_channels, rates[index]))
                        block.add(nn.MaxPool2D(2))
                    self.blocks.add(block)
            self.classifier = nn.Dense(classes, in_units=widths[-1], prefix="classifier_")

    def hybrid_forward(self, F, x):
        return self.classifier(global_average(F, self.blocks(x)))


class Column(HybridBlock):
    """logits = classifier(global average(blocks(stem(x)))), with one column of each block of a net.

    Images (batch, 3, height, width) -> logits (batch, classes). See ``FractalNet.column``.
    """

    def __init__(self, net, index, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.stem = with_own_statistics(net.stem, "stem_")
            self.blocks = nn.HybridSequential(prefix="")
            with self.blocks.name_scope():
                for number, block in enumerate(net.blocks, 1):
                    self.blocks.add(with_own_statistics(block.column(index), f"block{number}_"))
            self.classifier = net.classifier

    def hybrid_forward(self, F, x):
        return self.classifier(global_average(F, self.blocks(self.stem(x))))


class FractalNet(HybridBlock):
    """logits = classifier(global average(blocks(stem(x)))), five blocks that halve each side.

    Images (batch, 3, 32, 32) -> logits (batch, classes). The stem is empty; a subclass may fill it
    and use other blocks.

    Args:
        block: constructor ``block(columns, channels, in_channels, dropout, drop_path, prefix)``.
        depth: 5, 10, 20, 40, 80 or 160: convolutions on the longest path.
        classes: number of logits.
        widen_factor: multiplies the widths 16-32-64-128-128 of the blocks.
        dropout: rates are 0, 1, 2, 3 and 4 times this in the five blocks; the paper's is 0.1.
        drop_path: rate at which joins drop inputs in training (local drop-path); the paper's is
            0.15.

    Attributes:
        depths: depths of the columns, shallowest first.
        subnetworks: the columns as networks of their own, shallowest first; see ``column``.
    """

    possible_depths: Tuple[int, ...] = DEPTHS
    block_channels: Tuple[int, ...] = BLOCK_CHANNELS

    def __init__(self, block, depth, classes, widen_factor, dropout=0.0, drop_path=0.0, **kwargs):
        super().__init__(**kwargs)
        columns = count_columns(depth, self.possible_depths)
        self.depths = self.possible_depths[:columns]
        widths = scale_widths(widen_factor, self.block_channels)
        plan, rates = self.plan(block), scale_dropout(dropout, len(widths))
        with self.name_scope():
            self.stem = nn.HybridSequential(prefix="stem_")
            with self.stem.name_scope():
                in_channels = self.fill_stem(widen_factor)
            self.blocks = nn.HybridSequential(prefix="")
            with self.blocks.name_scope():
                for index, (make_block, channels) in enumerate(zip(plan, widths)):
                    options = {"drop_path": drop_path, "prefix": f"block{index + 1}_"}
                    self.blocks.add(
                        make_block(columns, channels, in_channels, rates[index], **options)
                    )
                    in_channels = channels
            self.classifier = nn.Dense(classes, in_units=widths[-1], prefix="classifier_")
            self.subnetworks = nn.HybridSequential(prefix="")
            with self.subnetworks.name_scope():
                for index in range(columns):
                    self.subnetworks.add(Column(self, index, prefix=f"column{index}_"))

    def plan(self, block):
        """Return the constructor of each block; ``block`` is the usual one."""
        return [block] * len(self.block_channels)

    def fill_stem(self, widen_factor):
        """Add the layers before the blocks to the stem, here none; return its output's channels."""
        return 3

    def column(self, index):
        """Return column ``index``, from 0, as a network of depth ``depths[index]``.

        It shares weights, gamma and beta with this network. It has its own moving averages, because
        its convolutions do not get the means of joined columns as input.

        Raises:
            InputError: there is no such column.
        """
        if index not in range(len(self.subnetworks)):
            raise InputError(
                f"there is no column {index!r}: they are 0 to {len(self.subnetworks) - 1}"
            )
        return self.subnetworks[index]

    def hybrid_forward(self, F, x):
        return self.classifier(global_average(F, self.blocks(self.stem(x))))

    def _build_cache(self, *args):
        with warnings.catch_warnings():  # the columns' moving averages are not in this graph
            warnings.filterwarnings("ignore", "Parameter .* is not used by any computation")
            return super()._build_cache(*args)


def scale_widths(widen_factor, block_channels=BLOCK_CHANNELS):
    """Return the channels of each block."""
    return tuple(channels * widen_factor for channels in block_channels)


def scale_dropout(dropout, blocks):
    """Return the dropout rate of each of the ``blocks``: 0, 1, 2, ... times ``dropout``.

    Raises:
        InputError: a rate would not be from 0 to less than 1.
    """
    if not 0 <= (blocks - 1) * dropout < 1:
        limit = f"{1 / (blocks - 1):.3g}"
        raise InputError(
            f"dropout must be from 0 to less than {limit}, not {dropout}", argument="dropout"
        )
    return [index * dropout for index in range(blocks)]


@register_model(recipe_family="fractal", has_columns=True)
def fractal(depth=20, classes=10, widen_factor=1, dropout=0.0, drop_path=0.0, **kwargs):
    """Build FractalNet for 32x32 images; widen_factor 4 is the paper's 64-128-256-512-512."""
    return FractalNet(FractalBlock, depth, classes, widen_factor, dropout, drop_path, **kwargs)


@register_model(recipe_family="fractal-plain")
def fractal_plain(depth=20, classes=10, widen_factor=1, dropout=0.0, **kwargs):
    """Build the plain network with FractalNet's widths (table 4): its deepest column, alone."""
    return PlainNet(depth, classes, widen_factor, dropout, **kwargs)
