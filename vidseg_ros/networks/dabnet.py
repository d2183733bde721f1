"""DABNet (Li et al. 2019): residual modules of two factorised depthwise branches, one of them dilated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidseg_ros.networks.blocks import Bilinear, DownSampler, conv, depthwise, normed, stem
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.streaming import At, StreamingNetwork

HALF, QUARTER, EIGHTH = 32, 64, 128  # channels at 1/2, 1/4 and 1/8
QUARTER_DILATIONS, EIGHTH_DILATIONS = (2, 2, 2), (4, 4, 8, 8, 16, 16)


def factorised(channels: int, dilation: int) -> nn.Sequential:
    """Return a depthwise 3x3 convolution, factorised into 3x1 and 1x3."""
    kernels = ((3, 1), (1, 3))
    return nn.Sequential(*(normed(depthwise(channels, k, dilation=dilation), nn.PReLU()) for k in kernels))


class DAB(nn.Module):
    """Depthwise asymmetric bottleneck (section 3.1)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        narrow = channels // 2
        self.reduce = normed(conv(channels, narrow, 3), nn.PReLU())
        self.near = factorised(narrow, 1)
        self.far = factorised(narrow, dilation)
        self.expand = normed(conv(narrow, channels, 1), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        return x + self.expand(self.near(reduced) + self.far(reduced))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class DABNetConfig(NetworkConfig):
    """DABNet has no fields of its own."""

    name: str = "dabnet"


class DABNet(StreamingNetwork):
    """Down to 1/8, each level beside the pooled frame; a 1x1 classifier there (section 3.2).

    Each PReLU has one slope for all channels, as the released weights have.
    """

    def __init__(self, config: DABNetConfig) -> None:
        super().__init__(config)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.stem = stem(HALF)
        self.down_quarter = DownSampler(HALF + 3, QUARTER, nn.PReLU())
        self.quarter = nn.Sequential(*(DAB(QUARTER, dilation) for dilation in QUARTER_DILATIONS))
        self.down_eighth = normed(conv(2 * QUARTER + 3, EIGHTH, 3, stride=2), nn.PReLU())
        self.eighth = nn.Sequential(*(DAB(EIGHTH, dilation) for dilation in EIGHTH_DILATIONS))
        self.classifier = conv(2 * EIGHTH + 3, config.classes, 1)
        self.head = Bilinear(8, align_corners=True)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        return {"deep": Position(EIGHTH, EIGHTH, 8)}

    def body(self, x: Tensor, at: At) -> Tensor:
        half_rgb = self.pool(x)
        quarter_rgb = self.pool(half_rgb)
        quarter = self.down_quarter(torch.cat([self.stem(x), half_rgb], 1))
        eighth = self.down_eighth(torch.cat([self.quarter(quarter), quarter, quarter_rgb], 1))
        deep = at("deep", self.eighth(eighth))
        return self.classifier(torch.cat([deep, eighth, self.pool(quarter_rgb)], 1))  # type: ignore[no-any-return]
