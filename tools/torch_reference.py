"""Cross and FractalNet as a user of PyTorch would write them, to time the engines against."""


def plain_networks():
    """{name: constructor(depth, classes, widen_factor) -> torch.nn.Module}, of 32x32 images."""
    import torch
    from torch import nn

    def conv_bn(channels, in_channels, kernel_size=3, stride=1):
        padding = kernel_size // 2
        return nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size, stride, padding, bias=False),
            nn.BatchNorm2d(channels, eps=2e-5),
        )

    def branch(channels, in_channels, stride):
        return nn.Sequential(
            conv_bn(channels, in_channels, stride=stride),
            nn.ReLU(inplace=True),
            conv_bn(channels, channels),
        )

    class MergeAndRun(nn.Module):
        def __init__(self, channels, in_channels, stride):
            super().__init__()
            self.branches = nn.ModuleList(branch(channels, in_channels, stride) for _ in range(2))
            same = channels == in_channels
            self.shortcuts = nn.ModuleList(
                nn.Identity() if same else conv_bn(channels, in_channels, 1, stride)
                for _ in range(2)
            )

        def forward(self, x1, x2):
            merged = (self.shortcuts[0](x1) + self.shortcuts[1](x2)) / 2
            return self.fuse(merged, self.branches[0](x1), self.branches[1](x2))

        def fuse(self, merged, y1, y2):
            return torch.relu(merged + y1), torch.relu(merged + y2)

    class LastMergeAndRun(MergeAndRun):
        def fuse(self, merged, y1, y2):
            return torch.relu(merged + y1 + y2)

    class Cross(nn.Module):
        def __init__(self, depth, classes, widen_factor):
            super().__init__()
            width, spent, blocks = 16 * widen_factor, 2, []
            self.stem = nn.Sequential(conv_bn(width, 3), nn.ReLU(inplace=True))
            for stage in range(3):
                channels = 16 * widen_factor * 2**stage
                count = (depth - spent) // (4 * (3 - stage))
                spent += 4 * count
                for index in range(count):
                    last = stage == 2 and index == count - 1
                    block = LastMergeAndRun if last else MergeAndRun
                    blocks.append(block(channels, width, 1 if width == channels else 2))
                    width = channels
            self.blocks = nn.ModuleList(blocks)
            self.classifier = nn.Linear(width, classes)

        def forward(self, x):
            x1 = x2 = self.stem(x)
            for block in self.blocks[:-1]:
                x1, x2 = block(x1, x2)
            return self.classifier(self.blocks[-1](x1, x2).mean((2, 3)))

    def conv_unit(channels, in_channels):
        return nn.Sequential(conv_bn(channels, in_channels), nn.ReLU(inplace=True))

    class FractalBlock(nn.Module):
        def __init__(self, columns, channels, in_channels, drop_path=0.15):
            super().__init__()
            self.drop_path = drop_path
            self.columns = nn.ModuleList(
                nn.ModuleList(
                    conv_unit(channels, channels if index else in_channels)
                    for index in range(2**column)
                )
                for column in range(columns)
            )

        def forward(self, x, only=None):
            if only is not None:
                for unit in self.columns[only]:
                    x = unit(x)
                return nn.functional.max_pool2d(x, 2)
            count = len(self.columns)
            inputs, steps = [x] * count, 2 ** (count - 1)
            for step in range(1, steps + 1):
                ending = [c for c in range(count) if step * 2**c % steps == 0]
                outputs = [self.columns[c][step * 2**c // steps - 1](inputs[c]) for c in ending]
                if len(ending) == count:
                    outputs = [nn.functional.max_pool2d(y, 2) for y in outputs]
                joined = self.join(outputs)
                for c in ending:
                    inputs[c] = joined
            return joined

        def join(self, inputs):
            if self.training and len(inputs) > 1:
                kept = [x for x in inputs if torch.rand(()) >= self.drop_path]
                inputs = kept or [inputs[int(torch.randint(len(inputs), ()))]]
            return sum(inputs) / len(inputs)

    class FractalNet(nn.Module):
        def __init__(self, depth, classes, widen_factor):
            super().__init__()
            columns = {5: 1, 10: 2, 20: 3, 40: 4}[depth]
            widths = [3, *(widen_factor * width for width in (16, 32, 64, 128, 128))]
            self.blocks = nn.ModuleList(
                FractalBlock(columns, channels, in_channels)
                for in_channels, channels in zip(widths, widths[1:])
            )
            self.classifier = nn.Linear(widths[-1], classes)

        def forward(self, x, only=None):
            for block in self.blocks:
                x = block(x, only)
            return self.classifier(x.mean((2, 3)))

    return {"cross": Cross, "fractal": FractalNet}
