"""Evaluator a network on labelled sequences, through the same stream that the node runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.engines import Engine
from vidseg_ros.evaluation.scores import Scores, VideoScores
from vidseg_ros.flow.estimator import one_thread
from vidseg_ros.io.frame import Frame
from vidseg_ros.labels import LabelSet, translation
from vidseg_ros.stream import FrameStream, StreamConfig


class Evaluator:
    """Runs sequences through an engine and scores them; in a distributed run, over those of all processes.

    temporal: also by the metrics that need no ground truth; the flow costs more than a small network.
    labels: the label set to judge in, that of the sequences; what the engine says is translated. None: the engine's.
    """

    def __init__(
        self,
        engine: Engine,
        config: StreamConfig | None = None,
        device: str = "cpu",
        temporal: bool = False,
        labels: LabelSet | None = None,
    ) -> None:
        self.engine, self.config = engine, config
        labels = labels or engine.labels
        self.table = translation(engine.labels, labels)
        self.scores = VideoScores(labels) if temporal else Scores(labels, device)

    def run(self, sequence: Sequence[StoredFrame], progress: Callable[[], None] = lambda: None) -> None:
        """Run a sequence from a fresh state; ``progress`` is called after each frame."""
        stream = FrameStream(self.engine, self.config)
        self.scores.begin()
        for item in sequence:
            clip = item.read()
            answer = stream.segment(Frame(clip.frames[0], item.stamp, item.sequence))
            self.scores.add(np.take(self.table, answer.labels), clip.labels[0])
            if isinstance(self.scores, VideoScores):
                self.scores.look(clip.frames[0])
            progress()


def evaluate(
    engine: Engine,
    sequences: Iterable[Sequence[StoredFrame]],
    config: StreamConfig | None = None,
    progress: Callable[[], None] = lambda: None,
    temporal: bool = False,
    labels: LabelSet | None = None,
) -> dict[str, Any]:
    """Report on ``engine`` over all sequences, see ``Evaluator``, with the number of frames."""
    judge = Evaluator(engine, config, temporal=temporal, labels=labels)
    with one_thread():
        for sequence in sequences:
            judge.run(sequence, progress)
    return judge.scores.report() | {"frames": judge.scores.frames}
