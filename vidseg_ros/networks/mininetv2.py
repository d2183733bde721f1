"""MiniNet-v2 (Alonso, Riazuelo and Murillo 2020): separable convolutions of two dilations at 1/8, details from 1/4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vidseg_ros.networks.blocks import Bilinear, DownSampler, conv, crop_to, depthwise, normed, upsample3
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.streaming import At, StreamingNetwork

HALF, QUARTER, EIGHTH = 16, 64, 128  # channels at 1/2, 1/4 and 1/8
DILATIONS = (1, 2, 1, 4, 1, 8, 1, 16, 1, 1, 1, 2, 1, 4, 1, 8)  # of the modules at 1/8


class MultiDilation(nn.Module):
    """A separable convolution that adds a dilated depthwise one, where ``dilation`` is above 1, to its first half."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        dilations = {1, dilation}
        self.depthwise = nn.ModuleList(normed(depthwise(channels, 3, dilation=d), nn.ReLU()) for d in sorted(dilations))
        self.pointwise = normed(conv(channels, channels, 1, bias=True), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        first, *dilated = (branch(x) for branch in self.depthwise)
        return self.pointwise(sum(dilated, first))  # type: ignore[no-any-return]


def down_to_quarter() -> list[nn.Module]:
    """Return two down-samplers, from the frame to 1/4."""
    return [DownSampler(3, HALF, nn.ReLU()), DownSampler(HALF, QUARTER, nn.ReLU())]


@dataclass(frozen=True)
class MiniNetV2Config(NetworkConfig):
    """MiniNet-v2 has no fields of its own."""

    name: str = "mininetv2"


class MiniNetV2(StreamingNetwork):
    """Down to 1/8 and back to 1/4, where a second, shallow path from the frame is added; classified at 1/2.

    As in FDDWNet the logits pass batch norm and ReLU, here before they are interpolated: none is below zero.
    """

    def __init__(self, config: MiniNetV2Config) -> None:
        super().__init__(config)
        self.quarter = nn.Sequential(*down_to_quarter(), *(MultiDilation(QUARTER) for _ in range(10)))
        self.refinement = nn.Sequential(*down_to_quarter())
        self.eighth = nn.Sequential(
            DownSampler(QUARTER, EIGHTH, nn.ReLU()), *(MultiDilation(EIGHTH, dilation) for dilation in DILATIONS)
        )
        self.up_quarter = normed(upsample3(EIGHTH, QUARTER), nn.ReLU())
        self.up_half = nn.Sequential(
            *(MultiDilation(QUARTER) for _ in range(4)), normed(upsample3(QUARTER, config.classes), nn.ReLU())
        )
        self.head = Bilinear(2, align_corners=True)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        return {"deep": Position(EIGHTH, EIGHTH, 8)}

    def body(self, x: Tensor, at: At) -> Tensor:
        details = self.refinement(x)
        deep = at("deep", self.eighth(self.quarter(x)))
        return self.up_half(details + crop_to(self.up_quarter(deep), details))  # type: ignore[no-any-return]
