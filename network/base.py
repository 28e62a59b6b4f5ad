"""What the 32x32 networks have in common: stem, three stages, head."""

from mxnet.gluon import HybridBlock, nn

from command import InputError
from network.layers import conv_bn, global_average

STAGE_CHANNELS = (16, 32, 64)


def split_depth(depth, block_depth):
    """Blocks in each of the three stages of a network of ``depth``.

    n_i = floor((depth - spent) / (block_depth (3 - i))) for i = 0, 1, 2, where ``spent`` starts at
    2 (stem and classifier) and grows by n_i block_depth (the published definitions).

    Raises:
        InputError: a stage would be empty.
    """
    smallest = 2 + 3 * max(block_depth, 1)
    if depth < smallest or block_depth < 1:
        raise InputError(
            f"depth {depth} leaves a stage without blocks: three stages of blocks {block_depth} "
            f"deep need a depth of at least {smallest}"
        )
    blocks, spent = [], 2
    for stages_left in (3, 2, 1):
        blocks.append((depth - spent) // (block_depth * stages_left))
        spent += blocks[-1] * block_depth
    return tuple(blocks)


def make_stage(blocks, channels, in_channels, stride, prefix):
    """The ``blocks`` (constructors) in a row; the first changes width and stride.

    (batch, in_channels, height, width) -> (batch, channels, height / stride, width / stride).
    """
    stage = nn.HybridSequential(prefix=prefix)
    with stage.name_scope():
        for index, block in enumerate(blocks):
            if index == 0:
                stage.add(block(channels, in_channels, stride, prefix="block1_"))
            else:
                stage.add(block(channels, channels, 1, prefix=f"block{index + 1}_"))
    return stage


class FusionNet(HybridBlock):
    """logits = classifier(global average(blocks(stem(x)))), blocks in three stages.

    Widths are 16, 32 and 64 times ``widen_factor``; height and width halve at stages 2 and 3.

    Args:
        block: constructor ``block(channels, in_channels, stride, prefix)`` of a block.
        blocks: number of blocks in each stage.
        classes: number of logits.
        widen_factor: multiplies the widths.
        first_block, last_block: constructors of the network's first and last block where they
            differ from ``block``.
    """

    def __init__(
        self, block, blocks, classes, widen_factor, first_block=None, last_block=None, **kwargs
    ):
        super().__init__(**kwargs)
        plan = [[block] * count for count in blocks]
        plan[0][0] = first_block or block
        plan[-1][-1] = last_block or block
        widths = [channels * widen_factor for channels in STAGE_CHANNELS]
        with self.name_scope():
            self.stem = conv_bn(widths[0], 3, relu=True, prefix="stem_")
            self.stages = nn.HybridSequential(prefix="")
            with self.stages.name_scope():
                for index, (stage, channels) in enumerate(zip(plan, widths)):
                    in_channels, stride = (widths[index - 1], 2) if index else (channels, 1)
                    prefix = f"stage{index + 1}_"
                    self.stages.add(make_stage(stage, channels, in_channels, stride, prefix))
            self.classifier = nn.Dense(classes, in_units=widths[-1], prefix="classifier_")

    @property
    def blocks(self):
        """Every block, in order."""
        return [block for stage in self.stages for block in stage]

    @staticmethod
    def may_follow(route, previous):
        """Whether a path may take ``route`` of a block after ``previous`` of the one before."""
        return True

    def fuse(self, x):
        """The stem's output through all blocks; a network of several streams overrides this."""
        for block in self.blocks:
            x = block(x)
        return x

    def hybrid_forward(self, F, x):
        return self.classifier(global_average(F, self.fuse(self.stem(x))))
