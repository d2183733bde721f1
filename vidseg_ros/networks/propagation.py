"""What remembers along the optical flow and is trained: around the head of any network, or behind its output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from vidseg_ros.networks.memory import State

Planes = Callable[[Tensor], list[Tensor]]
"""From what the head sees (N, F, h, w) to logits (N, C, ...): one tensor, or the four pixels of each square of 2x2."""

NEVER = 1e4  # a picture so bright that every gate is shut to it: the first frame has no past
BRIGHTEST = 255.0


class Propagation(nn.Module, ABC):
    """A memory whose state is moved with the picture: what was believed of the frame before, and that frame."""

    state_names: ClassVar[tuple[str, ...]] = ("posterior", "picture")
    behind_output: ClassVar[bool]  # takes whole logits, behind everything; else around the head

    @abstractmethod
    def initial_state(self, batch: int, height: int, width: int) -> State:
        """The state before the first of ``batch`` frames of ``height`` x ``width`` pixels: there is no past in it."""

    def __call__(
        self, seen: Tensor, planes: Planes, frames: Tensor, flow: Tensor | None, state: State | None
    ) -> tuple[list[Tensor], State]:
        return super().__call__(seen, planes, frames, flow, state)  # type: ignore[no-any-return]

    @abstractmethod
    def forward(
        self, seen: Tensor, planes: Planes, frames: Tensor, flow: Tensor | None, state: State | None
    ) -> tuple[list[Tensor], State]:
        """Advance one step.

        seen: what the head sees (N, F, h, w), and ``planes`` what makes logits of it. frames: RGB 0..255
        (N, 3, H, W). flow: from each pixel to its place in the frame before, pixels (N, 2, H, W). state: that after
        the frame before; with None the logits are those of the network alone. Returns logits and the new state.
        """
