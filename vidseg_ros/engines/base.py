"""What every engine offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.labels import LabelSet

T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """Ids uint8 (N, H, W) and, where asked for, the probability of the chosen class as uint8 0..255 (N, H, W)."""

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None = None


class Engine(Protocol):
    """One network on one device. It holds no state: callers keep what ``step`` returns, one opaque state a stream."""

    labels: LabelSet
    input_size: tuple[int, int]  # (width, height) the network was trained at

    def step(
        self, frames: NDArray[np.uint8], states: Sequence[Any], confidence: bool = False
    ) -> tuple[Prediction, list[Any]]:
        """Segment RGB uint8 (N, H, W, 3), one frame of each of N streams; a state of None starts a stream afresh."""

    def close(self) -> None:
        """Give the memory of the device back; the engine is of no more use."""


def join(states: Sequence[Sequence[T]], concatenate: Callable[[Sequence[T]], T]) -> Sequence[T]:
    """Return the states of several streams as those of one batch."""
    return states[0] if len(states) == 1 else [concatenate(parts) for parts in zip(*states, strict=True)]


def split(state: Sequence[Any], streams: int) -> list[Any]:
    """Return the state of each stream of a batch."""
    return [tuple(part[i : i + 1] for part in state) for i in range(streams)]


def in_turn(
    step: Callable[..., tuple[Prediction, list[Any]]],
    frames: NDArray[np.uint8],
    states: Sequence[Any],
    confidence: bool,
) -> tuple[Prediction, list[Any]]:
    """Take the step of each stream by itself: where a batch costs more than its frames, as on CPUs in float32."""
    parts = [step(frames[i : i + 1], [state], confidence) for i, state in enumerate(states)]
    labels = np.concatenate([prediction.labels for prediction, _ in parts])
    certainty = [prediction.confidence for prediction, _ in parts if prediction.confidence is not None]
    after = [state for _, (state,) in parts]
    return Prediction(labels, np.concatenate(certainty) if confidence else None), after
