"""Building blocks: those of ESPNet (Mehta et al. 2018; batch norm with eps 1e-3), and those that networks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

DILATIONS = (1, 2, 4, 8, 16)
SQUARE = 4  # pixels of 2x2


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int],
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Return a convolution that keeps the size, or divides it by ``stride`` rounding up; kernel: side or (h, w)."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = ((height - 1) // 2 * dilation, (width - 1) // 2 * dilation)
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias)


def depthwise(channels: int, kernel: int | tuple[int, int], stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Return a convolution of every channel by itself."""
    return conv(channels, channels, kernel, stride, dilation, groups=channels)


def upsample(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Return a learned 2x up-sampling."""
    return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False)


def upsample3(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Return a learned 2x up-sampling in which neighbours overlap: a 3x3 kernel (ENet, ERFNet)."""
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)


def normed(convolution: nn.Conv2d | nn.ConvTranspose2d, *activation: nn.Module) -> nn.Sequential:
    """Return a convolution, batch norm and the activation, if any."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), *activation)


def stem(channels: int) -> nn.Sequential:
    """Return three 3x3 convolutions, of which the first halves the size of the frame (DABNet, CFPNet)."""
    return nn.Sequential(
        normed(conv(3, channels, 3, stride=2), nn.PReLU()),
        *(normed(conv(channels, channels, 3), nn.PReLU()) for _ in range(2)),
    )


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """Cut ``x`` at the right and bottom, where it is larger."""
    return x if x.shape[-2:] == (height, width) else x[..., :height, :width]


def crop_to(x: Tensor, like: Tensor) -> Tensor:
    """Cut ``x`` at the right and bottom to the size of ``like``: up-sampling of odd sizes overshoots by a pixel."""
    return x[..., : like.shape[-2], : like.shape[-1]]


def fuse_hierarchically(branches: Iterable[Tensor]) -> Tensor:
    """Concatenate branches, each added to those before it: dilated convolutions alone leave a grid (ESPNet)."""
    return torch.cat(list(accumulate(branches)), 1)


class NormPReLU(nn.Sequential):
    """Batch normalisation and a PReLU per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels, eps=1e-3), nn.PReLU(channels))

    @property
    def norm(self) -> nn.BatchNorm2d:
        """The batch normalisation."""
        return self[0]  # type: ignore[return-value]

    @property
    def slope(self) -> Tensor:
        """The slope of the PReLU below zero, (channels,)."""
        return self[1].weight  # type: ignore[return-value]


class ESP(nn.Module):
    """Efficient spatial pyramid: reduce, five dilated convolutions, hierarchical sums, concatenation.

    ``stride`` 2 makes it the down-sampler (3x3 reduction, no residual); otherwise the reduction is 1x1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, residual: bool = True) -> None:
        super().__init__()
        narrow = out_channels // len(DILATIONS)
        first = out_channels - narrow * (len(DILATIONS) - 1)
        self.residual = residual and stride == 1
        self.reduce = conv(in_channels, narrow, 3 if stride == 2 else 1, stride)
        self.branches = nn.ModuleList(conv(narrow, first if d == 1 else narrow, 3, dilation=d) for d in DILATIONS)
        self.norm = NormPReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        first, *rest = (branch(reduced) for branch in self.branches)
        sums = [rest[0]]
        for output in rest[1:]:
            sums.append(sums[-1] + output)
        merged = torch.cat([first, *sums], 1)
        return self.norm(x + merged if self.residual else merged)  # type: ignore[no-any-return]


class DownSampler(nn.Module):
    """Halve the size: a strided 3x3 convolution beside max pooling (ENet's initial block, Paszke et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = normed(conv(in_channels, out_channels - in_channels, 3, stride=2), activation)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv(x), self.pool(x)], 1)


class PyramidPooling(nn.Module):
    """Features beside their means over square grids, each through a layer of ``reduce`` (PSPNet, Zhao et al. 2017).

    bins: cells of each grid, a side.
    """

    def __init__(self, bins: Sequence[int], reduce: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.grids = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(side), reduce()) for side in bins)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        means = [functional.interpolate(grid(x), size, mode="bilinear", align_corners=True) for grid in self.grids]
        return torch.cat([x, *means], 1)


class Head(nn.Module, ABC):
    """The last up-sampling: logits at ``scale`` times the size of what it sees."""

    scale: int
    in_channels: int | None = None  # None: as many as classes
    has_subpixels = False

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, h, w) to logits (N, classes, scale * h, scale * w)."""

    def subpixels(self, x: Tensor) -> list[Tensor]:
        """The same logits before they are put together: four (N, classes, h, w), the pixels of each 2x2 square."""
        raise NotImplementedError


class SubpixelHead(Head):
    """A 2x2 transposed convolution with stride 2: for each pixel of a square, a 1x1 convolution."""

    scale = 2
    has_subpixels = True

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.weight = nn.Parameter(upsample(in_channels, classes).weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv_transpose2d(x, self.weight, stride=2)

    def subpixels(self, x: Tensor) -> list[Tensor]:
        pixels = self.weight.flatten(2).permute(2, 1, 0)[..., None, None]
        return [functional.conv2d(x, pixel) for pixel in pixels]


class Bilinear(Head):
    """Bilinear interpolation."""

    def __init__(self, scale: int, align_corners: bool) -> None:
        super().__init__()
        self.scale, self.align_corners = scale, align_corners

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=self.align_corners)
