"""What the engines of other runtimes share: sessions by size, and states of NumPy arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.checkpoint import Checkpoint
from vidseg_ros.config import EngineConfig
from vidseg_ros.engines.base import Prediction
from vidseg_ros.engines.step import ExportStep, InferenceStep, hysteresis_of

Arrays = Sequence[NDArray[Any]]
Session = Callable[[Arrays], Arrays]
"""Takes frames, who begins anew, and the state; returns labels, confidence where asked for, and the next state."""


class ExportedEngine(ABC):
    """An engine whose runtime takes a whole ``ExportStep``; it is given to it for each new size of a batch."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        self.network, self.hysteresis = checkpoint.network, hysteresis_of(checkpoint, config)
        self.labels = checkpoint.labels
        self.input_size = checkpoint.network.config.input.size
        self._sessions: dict[tuple[int, ...], tuple[Session, Arrays]] = {}

    @abstractmethod
    def _open(self, step: ExportStep, batch: int) -> Session:
        """Hand the step to the runtime, for ``batch`` frames at once."""

    def step(
        self, frames: NDArray[np.uint8], states: Sequence[Arrays | None], confidence: bool = False
    ) -> tuple[Prediction, list[Arrays]]:
        """Segment one frame of each stream: see ``Engine.step``."""
        session, blank = self._session(frames.shape[:3], confidence)
        fresh = np.array([state is None for state in states])
        known = [blank if state is None else state for state in states]
        before = known[0] if len(known) == 1 else [np.concatenate(parts) for parts in zip(*known, strict=True)]
        labels, *rest = session([frames, fresh, *before])
        certainty = rest.pop(0) if confidence else None
        return Prediction(labels, certainty), [[t[i : i + 1] for t in rest] for i in range(len(frames))]

    def _session(self, shape: tuple[int, ...], confidence: bool) -> tuple[Session, Arrays]:
        key = (*shape, confidence)
        if key not in self._sessions:
            batch, height, width = shape
            step = ExportStep(InferenceStep(self.network, confidence, self.hysteresis), height, width)
            blank = [t.numpy() for t in step.example(1)[2:]]
            self._sessions[key] = self._open(step, batch), blank
        return self._sessions[key]

    def close(self) -> None:
        """Give memory back; the engine is of no more use."""
        self._sessions.clear()
