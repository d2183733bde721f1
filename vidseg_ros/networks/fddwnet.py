"""FDDWNet (Liu et al. 2020): many thin residual modules of factorised, dilated, depthwise convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.networks.blocks import DownSampler, Head, conv, crop_to, depthwise, normed, upsample3
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.streaming import At, StreamingNetwork

HALF, QUARTER, EIGHTH = 16, 64, 128  # channels at 1/2, 1/4 and 1/8
DILATIONS = (1, 2, 5, 9, 1, 2, 5, 9, 2, 5, 9, 17, 2, 5, 9, 17)  # of the modules at 1/8: 9 to 16 and 17 to 24


def fddwc(channels: int, dilation: int, *activation: nn.Module) -> list[nn.Module]:
    """Return a depthwise 3x3 convolution, factorised into 3x1 and 1x3, and the 1x1 convolution behind it."""
    return [
        normed(depthwise(channels, (3, 1), dilation=dilation)),
        normed(depthwise(channels, (1, 3), dilation=dilation)),
        normed(conv(channels, channels, 1), *activation),
    ]


class EERM(nn.Module):
    """Extremely efficient residual module: two factorised separable convolutions, the second one dilated."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(*fddwc(channels, 1, nn.ReLU()), *fddwc(channels, dilation))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.layers(x))


class FDDWNetHead(Head):
    """A learned 2x up-sampling whose logits pass batch norm and ReLU: none is below zero."""

    scale = 2
    has_subpixels = True

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.layers = normed(upsample3(in_channels, classes), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]

    def subpixels(self, x: Tensor) -> list[Tensor]:
        """Even rows and columns see the middle of the 3x3 kernel alone, odd ones both its sides."""
        up, *rest = self.layers
        assert isinstance(up, nn.ConvTranspose2d)
        weight, taps = up.weight.transpose(0, 1).flip(2, 3), (slice(1, 2), slice(0, 3, 2))  # slices stay on the device
        planes = []
        for odd_row, odd_column in product((0, 1), repeat=2):
            kernel = weight[:, :, taps[odd_row], taps[odd_column]]
            planes.append(functional.conv2d(functional.pad(x, (0, odd_column, 0, odd_row)), kernel, up.bias))
        return [nn.Sequential(*rest)(plane) for plane in planes]


@dataclass(frozen=True)
class FDDWNetConfig(NetworkConfig):
    """FDDWNet has no fields of its own."""

    name: str = "fddwnet"


class FDDWNet(StreamingNetwork):
    """31 layers down to 1/8 and back; what is known at 1/4 is added on the way up."""

    def __init__(self, config: FDDWNetConfig) -> None:
        super().__init__(config)
        self.quarter = nn.Sequential(
            DownSampler(3, HALF, nn.ReLU()),
            DownSampler(HALF, QUARTER, nn.ReLU()),
            *(EERM(QUARTER) for _ in range(5)),
        )
        self.eighth = nn.Sequential(
            DownSampler(QUARTER, EIGHTH, nn.ReLU()), *(EERM(EIGHTH, dilation) for dilation in DILATIONS)
        )
        self.up_quarter = nn.Sequential(
            normed(upsample3(EIGHTH, QUARTER), nn.ReLU()), *(EERM(QUARTER) for _ in range(2))
        )
        self.up_half = nn.Sequential(normed(upsample3(QUARTER, HALF), nn.ReLU()), *(EERM(HALF) for _ in range(2)))
        self.head = FDDWNetHead(HALF, config.classes)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        return {"deep": Position(EIGHTH, EIGHTH, 8)}

    def body(self, x: Tensor, at: At) -> Tensor:
        quarter = self.quarter(x)
        deep = at("deep", self.eighth(quarter))
        return self.up_half(quarter + crop_to(self.up_quarter(deep), quarter))  # type: ignore[no-any-return]
