"""ESPNetv2 (Mehta et al. 2019) for segmentation: pyramids of depthwise separable dilated convolutions down to 1/16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidseg_ros.networks.blocks import (
    Bilinear,
    PyramidPooling,
    conv,
    crop_to,
    depthwise,
    fuse_hierarchically,
    normed,
)
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.streaming import At, StreamingNetwork

HALF, QUARTER, EIGHTH, SIXTEENTH = 32, 64, 128, 256  # channels at 1/2 to 1/16
DILATIONS = (1, 2, 4, 8)  # one branch each, and one group of the 1x1 convolutions around them
BINS = (1, 2, 4, 6)  # of the pyramid pooling, a side


class Pyramid(nn.Module):
    """Reduce in groups, dilated separable convolutions, hierarchical sums, expand in groups (section 3.2)."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        groups = len(DILATIONS)
        narrow = channels // groups
        self.reduce = conv(channels, narrow, 1, groups=groups)
        self.branches = nn.ModuleList(
            nn.Sequential(
                normed(depthwise(narrow, 3, stride, dilation), nn.PReLU()),
                normed(conv(narrow, narrow, 1, bias=True), nn.PReLU()),
            )
            for dilation in DILATIONS
        )
        self.expand = conv(channels, channels, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        return self.expand(fuse_hierarchically(branch(reduced) for branch in self.branches))  # type: ignore[no-any-return]


class EESP(nn.Module):
    """Extremely efficient spatial pyramid: a ``Pyramid`` beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pyramid(x)  # type: ignore[no-any-return]


class StridedEESP(nn.Module):
    """Halve the size and double the channels, with a shortcut from the frame, pooled to the size of the output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(channels, stride=2)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.shortcut = nn.Sequential(normed(conv(3, 3, 3), nn.ReLU()), conv(3, 2 * channels, 1))

    def forward(self, x: Tensor, frame: Tensor) -> Tensor:
        return torch.cat([self.pyramid(x), self.pool(x)], 1) + self.shortcut(frame)  # type: ignore[no-any-return]


class MergedPooling(PyramidPooling):
    """Pyramid pooling, merged to as many channels as it saw."""

    def __init__(self, channels: int) -> None:
        super().__init__(BINS, lambda: conv(channels, channels // len(BINS), 1))
        self.merge = normed(conv(2 * channels, channels, 1, bias=True), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(super().forward(x))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ESPNetV2Config(NetworkConfig):
    """ESPNetv2 has no fields of its own."""

    name: str = "espnetv2"


class ESPNetV2(StreamingNetwork):
    """Features at 1/16 and 1/8 meet at 1/8, where pyramid pooling and the classifier stand.

    Each PReLU has one slope for all channels, as the released weights have.
    """

    def __init__(self, config: ESPNetV2Config) -> None:
        super().__init__(config)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.level1 = normed(conv(3, HALF, 3, stride=2), nn.PReLU())
        self.down2 = StridedEESP(HALF)
        self.down3 = StridedEESP(QUARTER)
        self.level3 = nn.Sequential(*(EESP(EIGHTH) for _ in range(3)))
        self.down4 = StridedEESP(EIGHTH)
        self.level4 = nn.Sequential(*(EESP(SIXTEENTH) for _ in range(7)))
        self.up_eighth = Bilinear(2, align_corners=True)
        self.reduce = normed(conv(SIXTEENTH, EIGHTH, 1), nn.ReLU())
        self.pooling = MergedPooling(2 * EIGHTH)
        self.classifier = nn.Sequential(
            normed(conv(2 * EIGHTH, EIGHTH, 3), nn.PReLU()), conv(EIGHTH, config.classes, 1)
        )
        self.head = Bilinear(8, align_corners=True)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        return {"deep": Position(SIXTEENTH, SIXTEENTH, 16)}

    def body(self, x: Tensor, at: At) -> Tensor:
        eighth, sixteenth = self.encoder(x)
        deep = self.reduce(crop_to(self.up_eighth(at("deep", sixteenth)), eighth))
        return self.classifier(self.pooling(torch.cat([deep, eighth], 1)))  # type: ignore[no-any-return]

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features at 1/8 (128 channels) and 1/16 (256)."""
        frame = self.pool(self.pool(x))
        quarter = self.down2(self.level1(x), frame)
        frame = self.pool(frame)
        eighth = self.level3(self.down3(quarter, frame))
        return eighth, self.level4(self.down4(eighth, self.pool(frame)))
