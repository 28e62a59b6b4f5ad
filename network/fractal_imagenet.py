"""FractalNet for ImageNet."""

from mxnet.gluon import contrib, nn

from network.base import IMAGENET_STEM_CHANNELS
from network.fractal import FractalBlock, FractalNet
from network.layers import conv_bn
from network.registry import register_model


class UnpooledBlock(FractalBlock):
    """A FractalBlock that keeps height and width: ImageNet's last block."""

    def make_pool(self):
        return contrib.nn.Identity()


class ImageNetFractalNet(FractalNet):
    """logits = classifier(global average(blocks(stem(x)))), four blocks.

    The stem is ResNet-34's: a 7x7 convolution of stride 2 to 64 channels (times ``widen_factor``),
    BN, ReLU, 3x3 max-pool of stride 2. Blocks have 128, 256, 512 and 1024 channels (times
    ``widen_factor``); all but the last end in a 2x2 max-pool.

    Images (batch, 3, 224, 224), or another size -> logits (batch, classes).
    """

    possible_depths = tuple(2 + 4 * 2**column for column in range(4))  # with stem and classifier
    block_channels = (128, 256, 512, 1024)  # type: ignore[assignment]

    def plan(self, block):
        *usual, _ = super().plan(block)
        return [*usual, UnpooledBlock]

    def fill_stem(self, widen_factor):
        channels = IMAGENET_STEM_CHANNELS * widen_factor
        self.stem.add(conv_bn(channels, 3, 7, 2, relu=True, prefix="layer_"))
        self.stem.add(nn.MaxPool2D(3, 2, 1))
        return channels


@register_model(image_size=224, recipe_family="fractal", has_columns=True)
def fractal_imagenet(depth=34, classes=1000, widen_factor=1, dropout=0.0, drop_path=0.0, **kwargs):
    """Build FractalNet-34 for ImageNet: 4 columns; depths 18, 10 and 6 have 3, 2 and 1.

    The paper gives it "the same first and last layer as ResNet-34", four blocks of eight layers and
    channels (128, 256, 512, 1024). Here the first layer means all that comes before ResNet-34's
    residual blocks, with the max-pool; the last layer means the global average and the classifier.
    The four blocks work at ResNet's 56, 28, 14 and 7 pixels: 2x2 max-pools stand between them, and
    the last block's 7x7 pixels are averaged. The paper does not mention dropout.
    """
    return ImageNetFractalNet(
        FractalBlock, depth, classes, widen_factor, dropout, drop_path, **kwargs
    )
