"""Networks for 32x32 images as PyTorch users write them, for comparison with the engines.

The whole module needs PyTorch, so it is imported inside the functions that use it.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

COLUMNS = {5: 1, 10: 2, 20: 3, 40: 4, 80: 5, 160: 6}  # depth of a FractalNet -> number of columns


def conv_bn(channels, in_channels, kernel_size=3, stride=1):
    """Return a convolution and its batch normalisation."""
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size, stride, padding, bias=False),
        nn.BatchNorm2d(channels, eps=2e-5),
    )


def conv_bn_relu(channels, in_channels):
    """Return a 3x3 convolution, its batch normalisation and ReLU."""
    return nn.Sequential(conv_bn(channels, in_channels), nn.ReLU(inplace=True))


def branch(channels, in_channels, stride):
    """Return the two convolutions of a block's branch; no ReLU follows the second."""
    return nn.Sequential(
        conv_bn(channels, in_channels, stride=stride),
        nn.ReLU(inplace=True),
        conv_bn(channels, channels),
    )


def shortcut(channels, in_channels, stride):
    """Return the identity, or a projection where the width changes."""
    return nn.Identity() if channels == in_channels else conv_bn(channels, in_channels, 1, stride)


class SumBlock(nn.Module):
    """y = relu(shortcut(x) + f_1(x) + ... + f_n(x)); resnet has one branch f, half two."""

    def __init__(self, channels, in_channels, stride, branches):
        super().__init__()
        self.shortcut = shortcut(channels, in_channels, stride)
        self.branches = nn.ModuleList(
            branch(channels, in_channels, stride) for _ in range(branches)
        )

    def forward(self, x):
        return torch.relu(sum((each(x) for each in self.branches), self.shortcut(x)))


class MergeAndRun(nn.Module):
    """y_i = relu(m + f_i(x_i)), m = (s_1(x_1) + s_2(x_2)) / 2, for both branches i."""

    def __init__(self, channels, in_channels, stride):
        super().__init__()
        sizes = (channels, in_channels, stride)
        self.branches = nn.ModuleList(branch(*sizes) for _ in range(2))
        self.shortcuts = nn.ModuleList(shortcut(*sizes) for _ in range(2))

    def forward(self, x1, x2):
        merged = (self.shortcuts[0](x1) + self.shortcuts[1](x2)) / 2
        return self.fuse(merged, self.branches[0](x1), self.branches[1](x2))

    def fuse(self, merged, y1, y2):
        return torch.relu(merged + y1), torch.relu(merged + y2)


class LastMergeAndRun(MergeAndRun):
    """y = relu(m + f_1(x_1) + f_2(x_2)), the last block of a network."""

    def fuse(self, merged, y1, y2):
        return torch.relu(merged + y1 + y2)


def block_sizes(depth, block_depth, widen_factor):
    """Return (channels, in_channels, stride) of each block of three stages."""
    sizes, width, spent = [], 16 * widen_factor, 2
    for stage in range(3):
        channels = 16 * widen_factor * 2**stage
        count = (depth - spent) // (block_depth * (3 - stage))
        spent += block_depth * count
        for _ in range(count):
            sizes.append((channels, width, 1 if width == channels else 2))
            width = channels
    return sizes


class SumNet(nn.Module):
    """A stem, SumBlocks with ``branches`` branches each, and a classifier."""

    def __init__(self, depth, classes, widen_factor, branches):
        super().__init__()
        sizes = block_sizes(depth, 2 * branches, widen_factor)
        self.stem = conv_bn_relu(16 * widen_factor, 3)
        self.blocks = nn.Sequential(*(SumBlock(*size, branches) for size in sizes))
        self.classifier = nn.Linear(64 * widen_factor, classes)

    def forward(self, x):
        return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))


class Cross(nn.Module):
    """A stem, merge-and-run blocks, and a classifier (DFN-MR)."""

    def __init__(self, depth, classes, widen_factor):
        super().__init__()
        *sizes, last = block_sizes(depth, 4, widen_factor)
        self.stem = conv_bn_relu(16 * widen_factor, 3)
        self.blocks = nn.ModuleList(MergeAndRun(*size) for size in sizes)
        self.last = LastMergeAndRun(*last)
        self.classifier = nn.Linear(64 * widen_factor, classes)

    def forward(self, x):
        x1 = x2 = self.stem(x)
        for block in self.blocks:
            x1, x2 = block(x1, x2)
        return self.classifier(self.last(x1, x2).mean((2, 3)))


class FractalBlock(nn.Module):
    """Column c has 2^c convolutions; columns whose convolutions end at a step are joined there."""

    def __init__(self, columns, channels, in_channels, drop_path=0.15):
        super().__init__()
        self.drop_path = drop_path
        self.columns = nn.ModuleList(
            nn.ModuleList(
                conv_bn_relu(channels, channels if index else in_channels)
                for index in range(2**column)
            )
            for column in range(columns)
        )

    def forward(self, x, only=None):
        if only is not None:
            for unit in self.columns[only]:
                x = unit(x)
            return F.max_pool2d(x, 2)
        count = len(self.columns)
        inputs, steps = [x] * count, 2 ** (count - 1)
        for step in range(1, steps + 1):
            ending = [c for c in range(count) if step * 2**c % steps == 0]
            outputs = [self.columns[c][step * 2**c // steps - 1](inputs[c]) for c in ending]
            if len(ending) == count:
                outputs = [F.max_pool2d(y, 2) for y in outputs]
            joined = self.join(outputs)
            for c in ending:
                inputs[c] = joined
        return joined

    def join(self, inputs):
        """Return the mean of the inputs that local drop-path keeps."""
        if self.training and len(inputs) > 1:
            kept = [x for x in inputs if torch.rand(()) >= self.drop_path]
            inputs = kept or [inputs[int(torch.randint(len(inputs), ()))]]
        return sum(inputs) / len(inputs)


class FractalNet(nn.Module):
    """Five FractalBlocks and a classifier; ``only`` computes one column."""

    def __init__(self, depth, classes, widen_factor):
        super().__init__()
        widths = [3, *(widen_factor * width for width in (16, 32, 64, 128, 128))]
        self.blocks = nn.ModuleList(
            FractalBlock(COLUMNS[depth], channels, in_channels)
            for in_channels, channels in zip(widths, widths[1:])
        )
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x, only=None):
        for block in self.blocks:
            x = block(x, only)
        return self.classifier(x.mean((2, 3)))


# name -> constructor(depth, classes, widen_factor)
PLAIN_NETWORKS = {
    "cross": Cross,
    "fractal": FractalNet,
    "half": partial(SumNet, branches=2),
    "resnet": partial(SumNet, branches=1),
}
