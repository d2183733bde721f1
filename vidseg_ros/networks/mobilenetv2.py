"""MobileNetV2 (Sandler et al. 2018), dilated instead of strided from 1/8 on (as DeepLab does it)."""

from __future__ import annotations

from torch import Tensor, nn

from vidseg_ros.networks.blocks import conv, depthwise, normed

STEM = 32
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Table 2 of the paper: expansion, channels, blocks and stride of the first of them."""
MIDDLE = 5  # stages to the features of 96 channels
LAST_STRIDE = 8  # of the output; a stride beyond it becomes a dilation of all later blocks


class InvertedResidual(nn.Module):
    """1x1 to ``expansion`` times the channels, depthwise 3x3, 1x1 without activation; added to x where it fits."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.residual = stride == 1 and in_channels == out_channels
        self.layers = nn.Sequential(
            *([normed(conv(in_channels, wide, 1), nn.ReLU6())] if expansion > 1 else []),
            normed(depthwise(wide, 3, stride, dilation), nn.ReLU6()),
            normed(conv(wide, out_channels, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)  # type: ignore[no-any-return]


class MobileNetV2(nn.Module):
    """Features of 96 and of 320 channels, both at 1/8."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = normed(conv(3, STEM, 3, stride=2), nn.ReLU6())
        self.stages = nn.ModuleList()
        channels, reached, dilation = STEM, 2, 1
        for expansion, width, depth, stride in STAGES:
            blocks = []
            for number in range(depth):
                wanted = stride if number == 0 else 1
                taken = wanted if reached * wanted <= LAST_STRIDE else 1
                blocks.append(InvertedResidual(channels, width, expansion, taken, dilation))
                channels, reached, dilation = width, reached * taken, dilation * wanted // taken
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        for stage in self.stages[:MIDDLE]:
            x = stage(x)
        middle = x
        for stage in self.stages[MIDDLE:]:
            x = stage(x)
        return middle, x
