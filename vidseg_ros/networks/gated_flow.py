"""The memory along the flow with a learned gate, which decides for each pixel of the output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.networks.blocks import crop_to
from vidseg_ros.networks.config import PropagationConfig
from vidseg_ros.networks.flow_memory import FlowMemory, FlowMemoryConfig, Recalled, reduce_picture
from vidseg_ros.networks.memory import State
from vidseg_ros.networks.propagation import BRIGHTEST, Planes, Propagation
from vidseg_ros.schema import require_positive

LEAST = 1e-4  # share of the past from which, and from 1 minus which, a gate can still be learned


@dataclass(frozen=True)
class GatedFlowConfig(PropagationConfig):
    """The gate begins as that of ``flow_memory``."""

    name: str = "gated_flow"
    channels: int = 8  # of what decides
    flow_memory: FlowMemoryConfig = field(default_factory=FlowMemoryConfig)

    def __post_init__(self) -> None:
        require_positive(**{"propagation.channels": self.channels})


class GatedFlow(Propagation):
    """``FlowMemory`` whose share of the past is learned, for each pixel that the head makes of one.

    The gate sees what the head sees now, how far that is from the past, the difference of the pictures, and the share
    that the training-free gate keeps, from which it begins. Past and present meet in the logits, at the resolution of
    the output, so that thin things can be kept where their surroundings are averaged; what is remembered is averaged
    by the mean share of these pixels.
    """

    behind_output: ClassVar[bool] = False

    def __init__(self, in_channels: int, scale: int, config: GatedFlowConfig) -> None:
        super().__init__()
        self.memory = FlowMemory(in_channels, scale, config.flow_memory)
        width = config.channels
        self.gate = nn.Sequential(
            nn.Conv2d(2 * in_channels + 2, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, scale**2, 1),
        )
        last = self.gate[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def initial_state(self, batch: int, height: int, width: int) -> State:
        weight = next(self.gate.parameters())
        return tuple(tensor.to(weight) for tensor in self.memory.initial_state(batch, height, width))

    def forward(
        self, seen: Tensor, planes: Planes, frames: Tensor, flow: Tensor | None, state: State | None
    ) -> tuple[list[Tensor], State]:
        if state is None:
            return planes(seen), (seen, reduce_picture(frames, self.memory.scale).to(seen.dtype))
        assert flow is not None
        recalled = self.memory.recall(frames, flow, state)
        past = recalled.past.to(seen.dtype)
        keep = self._keep(seen, past, recalled)
        now, then = planes(seen), planes(past)
        logits = [x + share * (y - x) for x, y, share in zip(now, then, self._shares(keep, now), strict=True)]
        kept = seen + keep.mean(1, keepdim=True) * (past - seen)
        return logits, (kept, recalled.picture.to(seen.dtype))

    def _keep(self, seen: Tensor, past: Tensor, recalled: Recalled) -> Tensor:
        """The share of the past for each pixel that the head makes of one, (N, scale^2, h, w)."""
        clues = [recalled.difference / BRIGHTEST, recalled.keep]
        change = self.gate(torch.cat([seen, (past - seen).abs(), *(clue.to(seen.dtype) for clue in clues)], 1))
        known = (recalled.keep > 0) & (recalled.difference <= BRIGHTEST)
        share = recalled.keep.clamp(LEAST, 1 - LEAST)
        learned = torch.sigmoid(torch.log(share / (1 - share)).to(seen.dtype) + change)
        return learned * known.to(seen.dtype)

    def _shares(self, keep: Tensor, planes: list[Tensor]) -> list[Tensor]:
        """The shares in the form of the logits."""
        if len(planes) == keep.shape[1]:
            return list(keep.chunk(len(planes), 1))
        return [crop_to(functional.pixel_shuffle(keep, self.memory.scale), planes[0])]
