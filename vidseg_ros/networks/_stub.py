"""Stands in for the base class that is being rewritten; the import changes, and this file goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from vidseg_ros.config import InputConfig
from vidseg_ros.networks.blocks import crop_to
from vidseg_ros.networks.streaming import Normalize

At = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class Position:
    """A place of a network where a recurrent cell can stand; ``stride``: how much smaller its features are."""

    in_channels: int
    out_channels: int
    stride: int


@dataclass(frozen=True)
class NetworkConfig:
    """What every network needs."""

    classes: int = 19
    input: InputConfig = field(default_factory=InputConfig)


class Head(nn.Module, ABC):
    """The last up-sampling: logits at ``scale`` times the size of what it sees."""

    scale: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...


class Bilinear(Head):
    """Bilinear interpolation."""

    def __init__(self, scale: int, align_corners: bool) -> None:
        super().__init__()
        self.scale, self.align_corners = scale, align_corners

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=self.align_corners)


class StreamingNetwork(nn.Module, ABC):
    """A network of one step."""

    head: Head

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.normalize = Normalize(config.input)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        """Where a cell can stand."""
        return {}

    @abstractmethod
    def body(self, x: Tensor, at: At) -> Tensor: ...

    def forward(self, frame: Tensor) -> Tensor:
        x = self.normalize(frame)
        return crop_to(self.head(self.body(x, lambda position, features: features)), x)
