"""FractalNet with square convolutions, which have as many input as output channels."""

from mxnet.gluon import contrib, nn

from network.fractal import FractalBlock, FractalNet
from network.registry import register_model


class SquareBlock(FractalBlock):
    """A FractalBlock of widen(x): a linear 1x1 convolution if the width changes, else x itself."""

    def __init__(self, columns, channels, in_channels, dropout, drop_path, **kwargs):
        super().__init__(columns, channels, channels, dropout, drop_path, **kwargs)
        with self.name_scope():
            if channels == in_channels:
                self.widen = contrib.nn.Identity()
            else:
                self.widen = nn.Conv2D(
                    channels, 1, in_channels=in_channels, use_bias=False, prefix="widen_"
                )

    def column(self, index):
        return [self.widen, *super().column(index)]

    def hybrid_forward(self, F, x):
        return super().hybrid_forward(F, self.widen(x))


@register_model(recipe_family="fractal", has_columns=True)
def fractal_square(depth=20, classes=10, widen_factor=1, dropout=0.0, drop_path=0.0, **kwargs):
    """Build FractalNet with the paper's 38.6M parameters for 20 layers (widen_factor 4).

    The paper does not explain the number. With a 1x1 convolution before the first four blocks,
    convolutions have 38,621,376 weights, and the network has 38.65M parameters.
    """
    return FractalNet(SquareBlock, depth, classes, widen_factor, dropout, drop_path, **kwargs)
