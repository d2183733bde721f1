"""What every network has in common: explicit state, 8-bit frames in, and one loop over time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.networks.config import CELL_STRIDES, InputConfig, NetworkConfig

State = tuple[Tensor, ...]
"""What a network remembers: tensors whose first dimension is the batch; ``()`` for a network without memory."""


SQUARE = 4  # pixels of 2x2


class Normalize(nn.Module):
    """Turn RGB frames of 0..255 into the input a network was trained on."""

    def __init__(self, config: InputConfig) -> None:
        super().__init__()
        self.flip = config.channel_order == "bgr"
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("factor", config.scale / torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def forward(self, frame: Tensor) -> Tensor:
        mean, factor = self.get_buffer("mean"), self.get_buffer("factor")
        frame = frame.flip(1) if self.flip else frame
        return (frame.to(factor.dtype) - mean) * factor


class Cell(nn.Module, ABC):
    """The part of a network that remembers."""

    @abstractmethod
    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return the state of ``batch`` fresh sequences with features of ``height`` x ``width``."""

    def __call__(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return super().__call__(x, state)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Static:
    """A convolution without memory that a cell replaces, and how large its input and output are (root mean square)."""

    weight: Tensor  # (out, in, k, k)
    input_size: float = 1.0
    output_size: float = 1.0


class StreamingNetwork(nn.Module, ABC):
    """A network with ``logits, state = network(frame, state)``.

    Its ``encoder`` makes the features; ``cell`` is what remembers, if anything does.
    """

    encoder: nn.Module
    features_channels: int

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.cell: Cell | None = None
        self.state_names: tuple[str, ...] = ("hidden", "cell") if config.cell else ()
        self.normalize = Normalize(config.input)

    @abstractmethod
    def features(self, frame: Tensor) -> Tensor:
        """Return the deepest features (N, features_channels, h, w) of frames as ``forward`` takes them."""

    @abstractmethod
    def forward(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Advance one step.

        frame: RGB (N, 3, H, W), any dtype, 0..255. state: what the previous step returned; None starts afresh.
        Returns logits (N, classes, H, W) and the new state.
        """

    def __call__(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return super().__call__(frame, state)  # type: ignore[no-any-return]

    def planes(self, frame: Tensor, state: State | None = None) -> tuple[list[Tensor], State]:
        """Advance one step like ``forward``, with logits in the form that is cheapest to decide from.

        Returns logits (N, classes, h, w), one tensor at full resolution or four at half of it, the pixels of each
        square of 2x2 (``interleave`` puts them together), and the new state.
        """
        logits, state = self(frame, state)
        return [logits], state

    def subpixel_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return how many ``planes`` there are for frames of ``height`` x ``width``, and their (h, w)."""
        return 1, height, width

    def static(self, state: Mapping[str, Tensor]) -> Static | None:
        """Return what the cell replaces in the tensors of a network without it."""
        return None

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return the state before the first of ``batch`` frames of ``height`` x ``width`` pixels."""
        if self.config.cell is None or self.cell is None:
            return ()
        stride = CELL_STRIDES[self.config.cell.position]
        return self.cell.initial_state(batch, -(-height // stride), -(-width // stride))


def interleave(planes: Tensor, height: int, width: int) -> Tensor:
    """Return (N, 1, h, w), or the four pixels of each square (N, 4, h, w), as (N, height, width)."""
    side = 2 if planes.shape[1] == SQUARE else 1
    return functional.pixel_shuffle(planes, side)[:, 0, :height, :width]


def unroll(network: StreamingNetwork, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """Run a network over time.

    frames: (T, N, 3, H, W). Returns logits (T, N, classes, H, W) and the state after the last frame.
    """
    logits = []
    for frame in frames:
        output, state = network(frame, state)
        logits.append(output)
    assert state is not None, "a clip has at least one frame"
    return torch.stack(logits), state
