"""Evaluator a network on labelled sequences, through the same stream that the node runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.bidirectional import BidirectionalStream
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.engines import Engine
from vidseg_ros.evaluation.scores import Scores, VideoScores, meanings
from vidseg_ros.flow.estimator import one_thread
from vidseg_ros.io.frame import Frame
from vidseg_ros.labels import LabelSet, translation
from vidseg_ros.stream import FrameStream, StreamConfig


class Evaluator:
    """Runs sequences through an engine and scores them; in a distributed run, over those of all processes.

    temporal: also by the metrics that need no ground truth; the flow costs more than a small network.
    labels: the label set to judge in, that of the sequences; what the engine says is translated. None: the engine's.
    bidirectional: the mean of the way forward and the way back, see ``BidirectionalStream``.
    """

    def __init__(
        self,
        engine: Engine,
        config: StreamConfig | None = None,
        device: str = "cpu",
        temporal: bool = False,
        labels: LabelSet | None = None,
        bidirectional: bool = False,
    ) -> None:
        self.engine, self.config, self.bidirectional = engine, config, bidirectional
        labels = labels or engine.labels
        self.table = translation(engine.labels, labels)
        self.scores = VideoScores(labels) if temporal else Scores(labels, device)

    def run(self, sequence: Sequence[StoredFrame], progress: Callable[[], None] = lambda: None) -> None:
        """Run a sequence from a fresh state; ``progress`` is called after each frame."""
        self.scores.begin()
        truths = deque[NDArray[np.uint8]]()
        for frame, labels in self._answers(_read(sequence, truths)):
            self.scores.add(np.take(self.table, labels), truths.popleft())
            if isinstance(self.scores, VideoScores):
                self.scores.look(frame.rgb)
            progress()

    def _answers(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
        """Each frame of a sequence with the labels of the engine."""
        if self.bidirectional:
            both = BidirectionalStream(self.engine, self.config)
            yield from ((frame, answer.labels) for frame, answer in both.segment(frames))
            return
        stream = FrameStream(self.engine, self.config)
        for frame in frames:
            yield frame, stream.segment(frame).labels


def _read(sequence: Sequence[StoredFrame], truths: deque[NDArray[np.uint8]]) -> Iterator[Frame]:
    """The frames of a sequence, read when they are asked for; their ground truth is appended to ``truths``."""
    for item in sequence:
        clip = item.read()
        truths.append(clip.labels[0])
        yield Frame(clip.frames[0], item.stamp, item.sequence)


def evaluate(
    engine: Engine,
    sequences: Iterable[Sequence[StoredFrame]],
    config: StreamConfig | None = None,
    progress: Callable[[], None] = lambda: None,
    temporal: bool = False,
    labels: LabelSet | None = None,
    bidirectional: bool = False,
) -> dict[str, Any]:
    """Report on ``engine`` over all sequences, see ``Evaluator``, with the number of frames."""
    judge = Evaluator(engine, config, temporal=temporal, labels=labels, bidirectional=bidirectional)
    with one_thread():
        for sequence in sequences:
            judge.run(sequence, progress)
    report = judge.scores.report()
    return report | meanings(report) | {"frames": judge.scores.frames}
