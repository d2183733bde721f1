"""What every network has in common: 8-bit frames in, explicit state, positions for a memory, one loop over time."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from vidseg_ros.errors import UserError
from vidseg_ros.networks.blocks import SQUARE, Head, crop, crop_to
from vidseg_ros.networks.config import InputConfig, NetworkConfig, Position
from vidseg_ros.networks.convlstm import ConvLSTM
from vidseg_ros.networks.folding import fold_norms
from vidseg_ros.networks.memory import Memory, State, Static
from vidseg_ros.networks.positions import Positions, Watch
from vidseg_ros.networks.propagation import Planes, Propagation
from vidseg_ros.schema import require_one_of

At = Callable[[str, Tensor], Tensor]
"""``at(position, x)``: what stands at a position of the network, applied to x."""


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


class StreamingNetwork(nn.Module, ABC):
    """A network with ``logits, state = network(frame, state)``.

    A family writes ``positions``, ``body`` and a ``head``: one frame to logits, nothing of time. What remembers
    stands at one of its positions (``cell``); elsewhere stand the ``reductions``, convolutions that a cell would
    replace, or nothing. What remembers along the optical flow (``propagation``) goes around the head or behind all;
    ``networks.build`` puts it there.
    """

    head: Head
    cell: Memory | None
    propagation: Propagation | None
    auxiliary: nn.Module | None  # a second head, for training alone
    auxiliary_position: ClassVar[str] = ""  # whose input the auxiliary head sees
    output: ClassVar[str] = "output"  # the position behind the head

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.normalize = Normalize(config.input)
        self.reductions = nn.ModuleDict()
        self.cell = self.propagation = self.auxiliary = None
        self.warps_cell = config.cell is not None and config.cell.warped  # its state is moved along the flow
        if config.cell:
            known = self.all_positions(config)
            require_one_of(f"cell.position of {config.name}", config.cell.position, known)
            position = known[config.cell.position]
            self.cell = ConvLSTM(position.in_channels, position.out_channels, config.cell)

    @classmethod
    @abstractmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        """Where a memory can stand before the head."""

    @classmethod
    def all_positions(cls, config: NetworkConfig) -> dict[str, Position]:
        """Where a memory can stand: ``positions``, and the one behind the head."""
        return {**cls.positions(config), cls.output: Position(config.classes, config.classes, 1)}

    @abstractmethod
    def body(self, x: Tensor, at: At) -> Tensor:
        """A normalised frame (N, 3, H, W) of any size to what the head sees (N, C, h, w)."""

    @property
    def head_channels(self) -> int:
        """Channels of what the head sees."""
        return self.config.classes if self.head.in_channels is None else self.head.in_channels

    @property
    def features_channels(self) -> int:
        """Channels of the deepest features."""
        return max(self.positions(self.config).values(), key=lambda position: position.stride).in_channels

    def features(self, frame: Tensor) -> Tensor:
        """The deepest features of frames as ``forward`` takes them, for training the encoder alone."""
        raise UserError(f"network '{self.config.name}' has no encoder to train alone; use trainable: single")

    def forward(
        self, frame: Tensor, state: State | None = None, flow: Tensor | None = None, watch: Watch | None = None
    ) -> tuple[Tensor, State]:
        """Advance one step.

        frame: RGB (N, 3, H, W), any dtype, 0..255. state: what the previous step returned; None starts afresh.
        flow: from each pixel to its place in the frame before, pixels (N, 2, H, W), for a network that ``needs_flow``
        and has a state. watch: what else is wanted. Returns logits (N, classes, H, W) and the new state.
        """
        seen, at = self.before_head(frame, state, flow, watch)
        (logits,) = self._decide(seen, at, lambda x: [crop_to(self.head(x), frame)])
        return logits, at.state

    def __call__(
        self, frame: Tensor, state: State | None = None, flow: Tensor | None = None, watch: Watch | None = None
    ) -> tuple[Tensor, State]:
        return super().__call__(frame, state, flow, watch)  # type: ignore[no-any-return]

    def subpixel_logits(
        self, frame: Tensor, state: State | None = None, flow: Tensor | None = None
    ) -> tuple[list[Tensor], State]:
        """Advance one step like ``forward``, with logits in the form that is cheapest to decide from.

        Returns logits (N, classes, h, w), one tensor at full resolution or four at half of it, the pixels of each
        square of 2x2 (``interleave`` puts them together), and the new state.
        """
        seen, at = self.before_head(frame, state, flow)
        return self.decide_from(seen, frame, at), at.state

    def before_head(
        self, frame: Tensor, state: State | None = None, flow: Tensor | None = None, watch: Watch | None = None
    ) -> tuple[Tensor, Positions]:
        """The first part of a step: what the head sees (N, C, h, w), and what stands at the positions."""
        at = Positions(self, frame, state, flow, watch)
        seen, scale = self.body(self.normalize(frame), at), self.head.scale
        return crop(seen, -(-frame.shape[-2] // scale), -(-frame.shape[-1] // scale)), at

    def decide_from(self, seen: Tensor, frame: Tensor, at: Positions) -> list[Tensor]:
        """The rest of it: ``subpixel_logits`` from what the head sees."""
        if self.has_subpixels:
            return self._decide(seen, at, self.head.subpixels)
        return self._decide(seen, at, lambda x: [crop_to(self.head(x), frame)])

    def _decide(self, seen: Tensor, at: Positions, planes: Planes) -> list[Tensor]:
        """What the head makes of what it sees (``planes``), with all that stands around it and behind it."""

        def output(logits: list[Tensor]) -> list[Tensor]:
            return [at(self.output, plane) for plane in logits]

        if self.propagation is not None and self.propagation.behind_output:
            return at.propagate(seen, lambda x: output(planes(x)))
        return output(at.propagate(seen, planes))

    @property
    def has_subpixels(self) -> bool:
        """Whether ``subpixel_logits`` are four: the head can give them, and nothing stands behind it."""
        behind = self.config.cell is not None and self.config.cell.position == self.output
        behind |= self.propagation is not None and self.propagation.behind_output
        return self.head.has_subpixels and not behind

    @property
    def needs_flow(self) -> bool:
        """Whether a step that has a state needs the optical flow."""
        return self.propagation is not None or self.warps_cell

    def cell_stride(self) -> int:
        """How much smaller than the frame the features are where the cell stands; 1 without a cell."""
        cell = self.config.cell
        return self.all_positions(self.config)[cell.position].stride if cell else 1

    def subpixel_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """How many ``subpixel_logits`` there are for frames of ``height`` x ``width``, and their (h, w)."""
        return (SQUARE, -(-height // 2), -(-width // 2)) if self.has_subpixels else (1, height, width)

    def static(self, state: Mapping[str, Tensor]) -> Static | None:
        """What the cell replaces in the tensors of a network without it; None where it cannot begin as that."""
        assert self.config.cell is not None
        position = self.all_positions(self.config)[self.config.cell.position]
        if position.in_channels != position.out_channels:
            return None
        return Static(torch.eye(position.in_channels)[..., None, None])  # nothing stands there

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the tensors of a state."""
        return tuple(name for part in (self.cell, self.propagation) if part is not None for name in part.state_names)

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """The state before the first of ``batch`` frames of ``height`` x ``width`` pixels."""
        own: State = ()
        along: State = ()
        if self.cell is not None:
            stride = self.cell_stride()
            own = self.cell.initial_state(batch, -(-height // stride), -(-width // stride))
        if self.propagation is not None:
            along = self.propagation.initial_state(batch, height, width)
        return *own, *along

    def for_inference(self) -> StreamingNetwork:
        """A copy that is faster and equal but for rounding: batch norms are folded, what only trains is left out."""
        network = copy.deepcopy(self).eval()
        network.auxiliary = None
        network.fold()
        return network.requires_grad_(False)

    def fold(self) -> None:
        """Fold in place; a family may do more than all share."""
        fold_norms(self)


def unroll(
    network: StreamingNetwork,
    frames: Tensor,
    state: State | None = None,
    flow: Tensor | None = None,
    watch: Watch | None = None,
) -> tuple[Tensor, State]:
    """Run a network over time.

    frames: (T, N, 3, H, W). flow: from each frame to the one before, (T, N, 2, H, W), where the network needs it.
    watch: what else is wanted, T tensors of each. Returns logits (T, N, classes, H, W) and the state after the last
    frame.
    """
    logits = []
    for number, frame in enumerate(frames):
        output, state = network(frame, state, None if flow is None else flow[number], watch)
        logits.append(output)
    assert state is not None, "a clip has at least one frame"
    return torch.stack(logits), state
