"""HRNetV2-W18-Small-v2 (Sun et al. 2019; Wang et al. 2020): branches from 1/4 to 1/32 side by side, that exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.networks.blocks import Bilinear, conv, normed
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.resnet import basic, bottleneck
from vidseg_ros.networks.streaming import At, StreamingNetwork

STEM = 64
WIDTHS = (18, 36, 72, 144)  # channels at 1/4 to 1/32
EXCHANGES = (1, 3, 2)  # with two, three and four branches
BLOCKS = 2  # of each branch before an exchange
FUSED = sum(WIDTHS)


class Sum(nn.Module):
    """The sum of all branches, brought to the size and channels of one of them, the ``target``."""

    def __init__(self, widths: Sequence[int], target: int) -> None:
        super().__init__()
        self.target = target
        self.paths = nn.ModuleList(path(widths, source, target) for source in range(len(widths)))

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        like = branches[self.target]
        first, *rest = (resize_to(way(branch), like) for way, branch in zip(self.paths, branches, strict=True))
        return functional.relu(sum(rest, first))


class Exchange(nn.Module):
    """Residual blocks on each branch; then each branch becomes the sum of all."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(basic(w, w) for _ in range(BLOCKS))) for w in widths)
        self.sums = nn.ModuleList(Sum(widths, target) for target in range(len(widths)))

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        changed = [blocks(branch) for blocks, branch in zip(self.branches, branches, strict=True)]
        return [total(changed) for total in self.sums]


def path(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """Return what brings a branch to the channels of another, and to its size where that is smaller."""
    if source == target:
        return nn.Identity()
    if source > target:
        return normed(conv(widths[source], widths[target], 1))
    steps = [normed(conv(widths[source], widths[source], 3, stride=2), nn.ReLU()) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, normed(conv(widths[source], widths[target], 3, stride=2)))


def resize_to(x: Tensor, like: Tensor) -> Tensor:
    """Interpolate ``x`` to the size of ``like``."""
    size = like.shape[-2:]
    return x if x.shape[-2:] == size else functional.interpolate(x, size, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """Four branches, beside each other at 1/4: 270 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            normed(conv(3, STEM, 3, stride=2), nn.ReLU()),
            normed(conv(STEM, STEM, 3, stride=2), nn.ReLU()),
            bottleneck(STEM, STEM),
            bottleneck(4 * STEM, STEM),
        )
        self.first = normed(conv(4 * STEM, WIDTHS[0], 3), nn.ReLU())
        before = (4 * STEM, *WIDTHS[1:-1])
        self.begin = nn.ModuleList(
            normed(conv(a, b, 3, stride=2), nn.ReLU()) for a, b in zip(before, WIDTHS[1:], strict=True)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Exchange(WIDTHS[: number + 2]) for _ in range(count)))
            for number, count in enumerate(EXCHANGES)
        )

    def forward(self, x: Tensor) -> Tensor:
        last = self.stem(x)
        branches = [self.first(last)]
        for begin, stage in zip(self.begin, self.stages, strict=True):
            branches = stage([*branches, begin(last)])
            last = branches[-1]
        return torch.cat([resize_to(branch, branches[0]) for branch in branches], 1)


@dataclass(frozen=True)
class HRNetConfig(NetworkConfig):
    """HRNet has no fields of its own."""

    name: str = "hrnet"


class HRNet(StreamingNetwork):
    """All branches together at 1/4, classified there by two 1x1 convolutions."""

    def __init__(self, config: HRNetConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder()
        self.classifier = nn.Sequential(
            normed(conv(FUSED, FUSED, 1, bias=True), nn.ReLU()), conv(FUSED, config.classes, 1, bias=True)
        )
        self.head = Bilinear(4, align_corners=False)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        return {"deep": Position(FUSED, FUSED, 4)}

    def features(self, frame: Tensor) -> Tensor:
        return self.encoder(self.normalize(frame))  # type: ignore[no-any-return]

    def body(self, x: Tensor, at: At) -> Tensor:
        return self.classifier(at("deep", self.encoder(x)))  # type: ignore[no-any-return]
