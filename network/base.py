"""Shared code of the deeply-fused networks: stem, stages, head, and the arithmetic of depth."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from mxnet.gluon import HybridBlock, nn

from command import InputError, require_positive
from network.layers import conv_bn, global_average

Block = Callable[..., HybridBlock]  # constructor: (channels, in_channels, stride, prefix) -> block

STAGE_CHANNELS = (16, 32, 64)
IMAGENET_STEM_CHANNELS = 64
IMAGENET_CHANNELS = (256, 512, 1024, 2048)


class StageBlocks(Tuple[int, ...]):
    """The number of blocks in each stage.

    Attributes:
        depth: the smallest depth that gives these numbers.
    """

    depth: int


def split_depth(depth: int, block_depth: int) -> StageBlocks:
    """Return the number of blocks in each of the three stages of a network of ``depth``.

    n_i = floor((depth - spent) / (block_depth (3 - i))) for i = 0, 1, 2, where ``spent`` starts at
    2 (stem and classifier) and grows by n_i block_depth (the published definitions). Layers that do
    not fill a block of one stage are left to the later stages.

    Args:
        depth: weight layers of the corresponding plain network.
        block_depth: weight layers that a block counts for in ``depth``.

    Raises:
        InputError: a stage would be empty.
    """
    require_positive(block_depth=block_depth)
    smallest = 2 + 3 * block_depth
    if depth < smallest:
        raise InputError(
            f"depth {depth} leaves a stage without blocks: with blocks of {block_depth} layers, "
            f"the depth must be at least {smallest}"
        )
    blocks, spent = [], 2
    for stages_left in (3, 2, 1):
        blocks.append((depth - spent) // (block_depth * stages_left))
        spent += blocks[-1] * block_depth
    found = StageBlocks(blocks)
    found.depth = spent
    return found


def make_stage(blocks, channels, in_channels, stride, prefix):
    """Build a stage: ``blocks`` (constructors) in sequence; the first changes width and stride.

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


class StagedNet(HybridBlock):
    """logits = classifier(global average(blocks(stem(x)))), blocks in stages.

    Height and width halve at each stage but the first. Images (batch, 3, height, width) -> logits
    (batch, classes).

    Args:
        plan: for each stage, the constructors ``block(channels, in_channels, stride, prefix)`` of
            its blocks.
        in_channels: channels of the stem's output.
        widths: channels of each stage.
        out_channels: channels of the last block's output.
        classes: number of logits.
    """

    def __init__(self, plan, in_channels, widths, out_channels, classes, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.stem = self.make_stem(in_channels)
            self.stages = nn.HybridSequential(prefix="")
            with self.stages.name_scope():
                for index, (stage, channels) in enumerate(zip(plan, widths)):
                    stride, prefix = 2 if index else 1, f"stage{index + 1}_"
                    self.stages.add(make_stage(stage, channels, in_channels, stride, prefix))
                    in_channels = channels
            self.classifier = nn.Dense(classes, in_units=out_channels, prefix="classifier_")

    def make_stem(self, channels: int) -> HybridBlock:
        """Build the stem, the layers before the stages: images -> ``channels`` feature maps."""
        raise NotImplementedError

    @property
    def blocks(self):
        """Return every block, in order."""
        return [block for stage in self.stages for block in stage]

    @staticmethod
    def may_follow(route, previous):
        """Return whether a path may take ``route`` after ``previous`` in the preceding block."""
        return True

    def fuse(self, x):
        """Run the stem's output through all blocks; a network of several streams overrides this."""
        for block in self.blocks:
            x = block(x)
        return x

    def hybrid_forward(self, F, x):
        return self.classifier(global_average(F, self.fuse(self.stem(x))))


class FusionNet(StagedNet):
    """A StagedNet for 32x32 images: three stages after a stem of one 3x3 convolution.

    Widths are 16, 32 and 64 times ``widen_factor``; height and width halve at stages 2 and 3.
    Images (batch, 3, 32, 32), or another size -> logits (batch, classes).

    Args:
        block: constructor ``block(channels, in_channels, stride, prefix)`` of a block.
        blocks: number of blocks in each stage.
        classes: number of logits.
        widen_factor: multiplies the widths.
        first_block, last_block: constructors of the network's first and last block where they
            differ from ``block``.

    Attributes:
        built_depth: the smallest depth that gives the same network if ``split_depth`` returned
            ``blocks``; otherwise None.

    Raises:
        InputError: ``blocks`` are not three positive numbers.
    """

    def __init__(
        self,
        block: Block,
        blocks: Sequence[int],
        classes: int,
        widen_factor: int,
        first_block: Optional[Block] = None,
        last_block: Optional[Block] = None,
        **kwargs: Any,
    ):
        self.built_depth: Optional[int] = getattr(blocks, "depth", None)
        widths = [channels * widen_factor for channels in STAGE_CHANNELS]
        if len(blocks) != len(widths) or min(blocks) < 1:
            raise InputError(f"blocks must be {len(widths)} numbers of at least 1, not {blocks}")
        plan: List[List[Block]] = [[block] * count for count in blocks]
        plan[0][0] = first_block or block
        plan[-1][-1] = last_block or block
        super().__init__(plan, widths[0], widths, widths[-1], classes, **kwargs)

    def make_stem(self, channels: int) -> HybridBlock:
        return conv_bn(channels, 3, relu=True, prefix="stem_")


class ImageNetFusionNet(StagedNet):
    """A StagedNet for ImageNet: four stages after a 7x7 convolution and a 3x3 max-pool.

    Images (batch, 3, 224, 224), or another size -> logits (batch, classes). The stem's convolution
    has stride 2, 64 channels times ``widen_factor`` and no BN; its pool has stride 2. The stages
    have 256, 512, 1024 and 2048 channels times ``widen_factor``; for 224x224 images, their feature
    maps are 56, 28, 14 and 7 pixels high and wide.

    Args:
        block: constructor ``block(channels, in_channels, stride, prefix)`` of a block.
        widening_block: constructor of each stage's first block, where the width changes.
        blocks: number of blocks in each stage.
        classes: number of logits.
        widen_factor: multiplies the widths.
        last_block: constructor of the network's last block where it differs from ``block``.
        streams: number of streams that the last block concatenates.
    """

    def __init__(
        self,
        block,
        widening_block,
        blocks,
        classes,
        widen_factor,
        last_block=None,
        streams=1,
        **kwargs,
    ):
        plan = [[widening_block] + [block] * (count - 1) for count in blocks]
        plan[-1][-1] = last_block or block
        widths = [channels * widen_factor for channels in IMAGENET_CHANNELS]
        stem = IMAGENET_STEM_CHANNELS * widen_factor
        super().__init__(plan, stem, widths, streams * widths[-1], classes, **kwargs)

    def make_stem(self, channels: int) -> HybridBlock:
        stem = nn.HybridSequential(prefix="stem_")
        with stem.name_scope():
            stem.add(
                nn.Conv2D(channels, 7, 2, 3, in_channels=3, use_bias=False),
                nn.MaxPool2D(3, 2, 1),
            )
        return stem


def choose_blocks(depth: int, depths: Dict[int, Tuple[int, ...]]) -> Tuple[int, ...]:
    """Return the number of blocks in each stage, which ``depths`` lists for each depth.

    Raises:
        InputError: ``depth`` is not one of ``depths``.
    """
    if depth not in depths:
        raise InputError(f"depth {depth} is not possible: choose {' or '.join(map(str, depths))}")
    return depths[depth]
