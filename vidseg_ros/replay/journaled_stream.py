"""A stream of labels that outlives its process."""

from __future__ import annotations

from pathlib import Path

from vidseg_ros.config import StreamConfig
from vidseg_ros.engines import Engine
from vidseg_ros.replay.journal import Entry, Journal
from vidseg_ros.stream import Frame, FrameStream


class JournaledStream:
    """A ``FrameStream`` that takes the labels of a killed run from its journal, and computes what is missing."""

    def __init__(self, engine: Engine, config: StreamConfig, folder: Path) -> None:
        self._stream = FrameStream(engine, config)
        self._journal = Journal(folder)
        self._known = self._journal.replay()
        self._left = self._journal.known

    def step(self, frame: Frame) -> Entry:
        """Segment the next frame."""
        if self._left:
            self._left -= 1
            entry = next(self._known)
            if not self._left:
                self._stream.resume(frame, self._on_device(self._journal.state))
        else:
            result = self._stream.step(frame)
            entry = Entry(result.labels, result.reset, result.model_ms)
            self._journal.append(entry, self._stream.state)
        return entry

    def _on_device(self, state: object) -> object:
        device = getattr(self._stream.engine, "device", None)
        return tuple(part.to(device) for part in state) if isinstance(state, tuple) else state

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()
