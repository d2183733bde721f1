"""SSNet and VSSNet (F2F paper, section 3.1): dilated 3x3 convolutions at full resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vidseg_ros.networks.blocks import Head, NormPReLU, conv
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.memory import Static
from vidseg_ros.networks.streaming import At, StreamingNetwork

CHANNELS = 64
DILATIONS = (1, 1, 2, 2, 4)  # of the features; the classifier has LAST_DILATION
LAST_DILATION = 4


@dataclass(frozen=True)
class SSNetConfig(NetworkConfig):
    """SSNet has no fields of its own."""

    name: str = "ssnet"


class FullSize(Head):
    """Nothing: the features are logits at the size of the frame."""

    scale = 1

    def forward(self, x: Tensor) -> Tensor:
        return x


class SSNet(StreamingNetwork):
    """Six convolutions; a cell at position ``last`` replaces the last one and makes it VSSNet.

    The paper names dilations and channels; batch norm and PReLU are those of ESPNet.
    """

    def __init__(self, config: SSNetConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = []
        for number, dilation in enumerate(DILATIONS):
            layers += [conv(CHANNELS if number else 3, CHANNELS, 3, dilation=dilation), NormPReLU(CHANNELS)]
        self.encoder = nn.Sequential(*layers)
        if not (config.cell and config.cell.position == "last"):
            self.reductions["last"] = nn.Conv2d(CHANNELS, config.classes, 3, padding="same", dilation=LAST_DILATION)
        self.head = FullSize()

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        return {"last": Position(CHANNELS, config.classes, 1)}

    def features(self, frame: Tensor) -> Tensor:
        return self.encoder(self.normalize(frame))  # type: ignore[no-any-return]

    def body(self, x: Tensor, at: At) -> Tensor:
        return at("last", self.encoder(x))

    def static(self, state: Mapping[str, Tensor]) -> Static | None:
        return super().static(state) if "last" in self.reductions else None  # a cell has no dilation
