"""ResNet (He et al. 2016), dilated instead of strided from 1/8 on, and the residual blocks it shares with HRNet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from torch import Tensor, nn

from vidseg_ros.networks.blocks import conv, normed

WIDTHS = (64, 128, 256, 512)  # of the four stages, before the expansion of their blocks
STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)
EXPANSION = 4  # of bottlenecks


class Residual(nn.Module):
    """ReLU of the sum of x, through a 1x1 convolution where size or channels change, and ``layers``."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.out_channels, self.layers = out_channels, nn.Sequential(*layers)
        fits = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if fits else normed(conv(in_channels, out_channels, 1, stride))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.layers(x) + self.shortcut(x))  # type: ignore[no-any-return]


class Block(Protocol):
    """What makes a residual block."""

    def __call__(self, in_channels: int, width: int, stride: int = 1, dilation: int = 1) -> Residual:
        """A block that divides the size by ``stride``; its second convolution is dilated."""


def basic(in_channels: int, width: int, stride: int = 1, dilation: int = 1) -> Residual:
    """Return two 3x3 convolutions, to ``width`` channels."""
    first = normed(conv(in_channels, width, 3, stride), nn.ReLU())
    return Residual(in_channels, width, stride, [first, normed(conv(width, width, 3, dilation=dilation))])


def bottleneck(in_channels: int, width: int, stride: int = 1, dilation: int = 1) -> Residual:
    """Return a 3x3 convolution of ``width`` channels between two of 1x1, to four times as many."""
    out_channels = EXPANSION * width
    reduce = normed(conv(in_channels, width, 1), nn.ReLU())
    middle = normed(conv(width, width, 3, stride, dilation), nn.ReLU())
    return Residual(in_channels, out_channels, stride, [reduce, middle, normed(conv(width, out_channels, 1))])


class ResNet(nn.Module):
    """Features of the third and the fourth stage, both at 1/8.

    ``depths``: blocks of each stage. The stem is a 7x7 convolution, or three of 3x3 as in PSPNet (``deep_stem``).
    """

    def __init__(self, block: Block, depths: Sequence[int], deep_stem: bool = False) -> None:
        super().__init__()
        widths, kernel = ((64, 64, 128), 3) if deep_stem else ((64,), 7)
        layers = [normed(conv(3, widths[0], kernel, stride=2), nn.ReLU())]
        layers += [normed(conv(a, b, 3), nn.ReLU()) for a, b in pairwise(widths)]
        self.stem = nn.Sequential(*layers, nn.MaxPool2d(3, stride=2, padding=1))
        channels, self.stages = widths[-1], nn.ModuleList()
        for width, depth, stride, dilation in zip(WIDTHS, depths, STRIDES, DILATIONS, strict=True):
            first = block(channels, width, stride, dilation)
            channels = first.out_channels
            rest = (block(channels, width, dilation=dilation) for _ in range(depth - 1))
            self.stages.append(nn.Sequential(first, *rest))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        for stage in self.stages[:-1]:
            x = stage(x)
        return x, self.stages[-1](x)


def resnet18() -> ResNet:
    """Return features of 256 and 512 channels."""
    return ResNet(basic, (2, 2, 2, 2))


def resnet101() -> ResNet:
    """Return features of 1024 and 2048 channels, behind the deep stem."""
    return ResNet(bottleneck, (3, 4, 23, 3), deep_stem=True)
