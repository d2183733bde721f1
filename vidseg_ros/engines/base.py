"""What every engine offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.labels import LabelSet

T = TypeVar("T")
Flow = NDArray[np.float32]
Arrays = Sequence[NDArray[Any]]
Session = Callable[[Arrays], Arrays]
"""Takes frames, who begins anew, the flow where it is wanted, and the state; returns labels, confidence where asked
for, and the next state."""
Clips = Sequence[NDArray[np.uint8]]
Exported = tuple[Session, Callable[[Path], object]]
"""What runs a step, and what writes it."""


@dataclass(frozen=True)
class Prediction:
    """Ids uint8 (N, H, W) and, where asked for, the probability of the chosen class as uint8 0..255 (N, H, W)."""

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None = None


class Engine(Protocol):
    """One network on one device. It holds no state: callers keep what ``step`` returns, one opaque state a stream."""

    labels: LabelSet
    input_size: tuple[int, int]  # (width, height) the network was trained at
    flow: FlowConfig | None  # how to estimate the flow that a step wants; None: it wants none

    def step(
        self, frames: NDArray[np.uint8], states: Sequence[Any], confidence: bool = False, flow: Flow | None = None
    ) -> tuple[Prediction, list[Any]]:
        """Segment RGB uint8 (N, H, W, 3), one frame of each of N streams; a state of None starts a stream afresh.

        flow: from each pixel to its place in the frame before, pixels, float32 (N, 2, H, W); of any value for streams
        that start afresh.
        """

    def close(self) -> None:
        """Give the memory of the device back; the engine is of no more use."""


def join(states: Sequence[Sequence[T]], concatenate: Callable[[Sequence[T]], T]) -> Sequence[T]:
    """States of several streams as those of one batch."""
    return states[0] if len(states) == 1 else [concatenate(parts) for parts in zip(*states, strict=True)]


def split(state: Sequence[Any], streams: int) -> list[Any]:
    """State of each stream of a batch."""
    return [tuple(part[i : i + 1] for part in state) for i in range(streams)]


def in_turn(
    step: Callable[..., tuple[Prediction, list[Any]]],
    frames: NDArray[np.uint8],
    states: Sequence[Any],
    confidence: bool,
    flow: Flow | None,
) -> tuple[Prediction, list[Any]]:
    """Take the step of each stream by itself: where a batch costs more than its frames, as on CPUs in float32."""
    flows = [None if flow is None else flow[i : i + 1] for i in range(len(states))]
    parts = [step(frames[i : i + 1], [state], confidence, flows[i]) for i, state in enumerate(states)]
    labels = np.concatenate([prediction.labels for prediction, _ in parts])
    certainty = [prediction.confidence for prediction, _ in parts if prediction.confidence is not None]
    after = [state for _, (state,) in parts]
    return Prediction(labels, np.concatenate(certainty) if confidence else None), after


def require_flow(frames: NDArray[np.uint8], flow: Flow | None, states: Sequence[Any], wanted: bool) -> list[Flow]:
    """The flow as an input of the step, if it is one; none leads to where a stream starts afresh (state None).

    Raises UserError where it is missing or does not fit.
    """
    if not wanted:
        return []
    expected = (len(frames), 2, *frames.shape[1:3])
    if flow is None or flow.shape != expected:
        given = "nothing" if flow is None else str(flow.shape)
        raise UserError(f"flow is {given}; this model takes float32 {expected}, from each frame to the one before")
    fresh = np.array([state is None for state in states])
    if fresh.any():
        flow = np.where(fresh[:, None, None, None], 0.0, flow)
    return [np.ascontiguousarray(flow, np.float32)]
