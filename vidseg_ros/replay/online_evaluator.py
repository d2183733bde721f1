"""Labels judged while they come, with a report at the end: what ``Run`` does with a recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.evaluation.recording_evaluator import RecordingEvaluator
from vidseg_ros.evaluation.scores import Scores
from vidseg_ros.evaluation.worst_frames import SegmentedFrame
from vidseg_ros.io.frame import Frame, discontinuity
from vidseg_ros.io.pictures import blend
from vidseg_ros.labels import LabelSet
from vidseg_ros.replay.report import write_report
from vidseg_ros.replay.run import MARKS, REMEMBERED_TIMES, Times, percentiles, write_result
from vidseg_ros.replay.summary import read_results, summarize

TIMES = ("sim_ms", "wall_ms")
"""From the picture to its labels, in simulated time; from the ground truth to the labels of one stamp, in real time."""

WINDOW = 200  # latest times of which the running percentiles are taken
EVALUATED = "course"  # folder of what the report is made of
MARK = MARKS[0]


class OnlineEvaluator:
    """Takes labels and their ground truth, frame by frame; ``reported`` keeps what a report needs, in bounded memory.

    No optical flow: it takes longer than a frame lasts. What follows the flow is measured by a replay of a bag.
    """

    def __init__(self, labels: LabelSet, max_gap: float, reported: bool) -> None:
        self.resets: list[dict[str, Any]] = []
        self.without_picture = 0
        self._labels, self._max_gap = labels, max_gap
        self._scores = Scores(labels, windows=())
        self._evaluator = RecordingEvaluator(labels, judged=True) if reported else None
        self._times: dict[str, Times] = {name: deque(maxlen=REMEMBERED_TIMES) for name in TIMES}
        self._last: Frame | None = None
        self._start = 0

    @property
    def frames(self) -> int:
        """Frames judged so far."""
        return self._scores.frames

    def took(self, name: str, milliseconds: float) -> None:
        """Remember a latency, one of TIMES."""
        self._times[name].append(milliseconds)

    def add(
        self, stamp: int, labels: NDArray[np.uint8], truth: NDArray[np.uint8], rgb: NDArray[np.uint8] | None = None
    ) -> str:
        """Take in the next frame: ``stamp`` in ns, ids uint8 (H, W) and their truth, the picture (H, W, 3) if there is.

        Returns why it does not continue the frame before, or "".
        """
        color = self._labels.colorize(labels)
        matching = rgb is not None and rgb.shape == color.shape
        overlay = blend(rgb, color) if rgb is not None and matching else color
        self.without_picture += not matching
        frame = Frame(overlay, stamp)
        reason = discontinuity(self._last, frame, self._max_gap) if self._last else ""
        self._start = stamp if self._last is None else self._start
        self._last = frame
        seconds = (stamp - self._start) * 1e-9
        if reason:
            self.resets.append({"frame": self.frames, "seconds": seconds, "reason": reason})
            self._scores.begin()
        if self._evaluator is not None:
            segmented = SegmentedFrame(labels, overlay, truth)
            self._evaluator.add(self.frames, seconds, segmented, motion=None, begins=bool(reason))
        self._scores.add(labels, truth)
        return reason

    def figures(self) -> dict[str, Any]:
        """Figures so far: percent, and percentiles of the latest latencies in ms."""
        latest = {name: list(islice(reversed(times), WINDOW)) for name, times in self._times.items()}
        latency = {name: percentiles(times) for name, times in latest.items()}
        return {**self._scores.report(), "frames": self.frames, "resets": len(self.resets), "latency": latency}

    def report(
        self,
        folder: Path,
        topics: tuple[str, str],
        config: Mapping[str, Any],
        counts: Mapping[str, int],
        problems: Sequence[str],
    ) -> None:
        """Write report.html, metrics.json and what they are made of to ``folder``; a frame must have come.

        topics: of the labels and of the truth. counts: of the frames that were ``rejected`` or had no truth
        (``unmatched``), and any others. Raises UserError.
        """
        assert self._evaluator is not None, "made without a report"
        name, source = topics
        about = {"input": source, "camera": "", "complete": True, "problem": "", "frames": self.frames, **counts}
        times = {kind: {MARK: values} for kind, values in self._times.items()}
        write_result(folder / EVALUATED, {**about, "resets": self.resets}, {MARK: self._evaluator}, times)
        found = read_results(folder / EVALUATED, self._labels)
        write_report("evaluation", summarize([name], config, self._labels, found, problems), folder)
