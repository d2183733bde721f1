"""CFPNet (Lou and Loew 2021): pyramids of dilated, factorised convolutions within each branch and across branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.networks.blocks import Bilinear, DownSampler, conv, fuse_hierarchically, normed, stem
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.streaming import At, StreamingNetwork

HALF, QUARTER, EIGHTH = 32, 64, 128  # channels at 1/2, 1/4 and 1/8
QUARTER_DILATIONS, EIGHTH_DILATIONS = (2, 2), (4, 4, 8, 8, 16, 16)
BRANCHES = 4


def factorised(in_channels: int, out_channels: int, dilation: int) -> nn.Sequential:
    """Return a 3x3 convolution, factorised into 3x1 and 1x3."""
    return nn.Sequential(
        normed(conv(in_channels, out_channels, (3, 1), dilation=dilation), nn.PReLU()),
        normed(conv(out_channels, out_channels, (1, 3), dilation=dilation), nn.PReLU()),
    )


class FeaturePyramid(nn.Module):
    """Three convolutions in a row, whose outputs are a quarter, a quarter and a half of the channels (FP channel)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        quarter = channels // 4
        widths = (channels, quarter, quarter, 2 * quarter)
        self.layers = nn.ModuleList(factorised(*pair, dilation) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        return torch.cat(outputs[1:], 1)


class CFP(nn.Module):
    """Channel-wise feature pyramid: branches dilated by 1, a quarter, half and all of ``dilation``, between 1x1."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        narrow = channels // BRANCHES
        dilations = (1, max(dilation // 4, 1), max(dilation // 2, 1), dilation)
        self.reduce = normed(conv(channels, narrow, 1), nn.PReLU())
        self.branches = nn.ModuleList(FeaturePyramid(narrow, d) for d in dilations)
        self.expand = normed(conv(channels, channels, 1), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        return x + self.expand(fuse_hierarchically(branch(reduced) for branch in self.branches))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class CFPNetConfig(NetworkConfig):
    """CFPNet has no fields of its own."""

    name: str = "cfpnet"


class CFPNet(StreamingNetwork):
    """Down to 1/8, each level beside the frame of its size; a 1x1 classifier there, with batch norm and PReLU.

    Each PReLU has one slope for all channels, as the released weights have.
    """

    def __init__(self, config: CFPNetConfig) -> None:
        super().__init__(config)
        self.stem = stem(HALF)
        self.quarter = nn.Sequential(
            DownSampler(HALF + 3, QUARTER, nn.PReLU()), *(CFP(QUARTER, dilation) for dilation in QUARTER_DILATIONS)
        )
        self.eighth = nn.Sequential(
            DownSampler(QUARTER + 3, EIGHTH, nn.PReLU()), *(CFP(EIGHTH, dilation) for dilation in EIGHTH_DILATIONS)
        )
        self.classifier = normed(conv(EIGHTH + 3, config.classes, 1), nn.PReLU())
        self.head = Bilinear(8, align_corners=True)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        return {"deep": Position(EIGHTH, EIGHTH, 8)}

    def body(self, x: Tensor, at: At) -> Tensor:
        quarter = self.quarter(beside(self.stem(x), x))
        deep = at("deep", self.eighth(beside(quarter, x)))
        return self.classifier(beside(deep, x))  # type: ignore[no-any-return]


def beside(features: Tensor, frame: Tensor) -> Tensor:
    """Append the frame, interpolated to their size, to features."""
    small = functional.interpolate(frame, features.shape[-2:], mode="bilinear", align_corners=True)
    return torch.cat([features, small], 1)
