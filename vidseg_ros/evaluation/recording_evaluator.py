"""What one checkpoint did on one recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidseg_ros.evaluation.counts import Blocks, take, to_json
from vidseg_ros.evaluation.scores import VideoScores
from vidseg_ros.evaluation.worst_frames import SegmentedFrame, WorstFrames
from vidseg_ros.flow.motion import Motion
from vidseg_ros.labels import IGNORE, LabelSet


class RecordingEvaluator:
    """Scores, their blocks over time, and the worst frames."""

    def __init__(self, labels: LabelSet, judged: bool) -> None:
        """``judged``: there is ground truth."""
        self._scores, self._judged = VideoScores(labels), judged
        self._blocks, self._worst_frames = Blocks(), WorstFrames()
        self._before: SegmentedFrame | None = None

    def add(self, frame: int, seconds: float, now: SegmentedFrame, motion: Motion | None, begins: bool = False) -> None:
        """Take in the next frame, which continues the one before unless it ``begins`` a sequence.

        Without the ``motion`` between the two, what follows the flow is not measured.
        """
        before = None if begins else self._before
        if before is None:
            self._scores.begin()
        if self._judged:
            truth = np.full_like(now.labels, IGNORE) if now.truth is None else now.truth
            self._scores.add(now.labels, truth)
        earlier = None if before is None else torch.from_numpy(before.labels)
        self._scores.follow(earlier, torch.from_numpy(now.labels), motion)
        if before is not None:
            self._worst_frames.consider(frame, seconds, before, now, motion)
        self._blocks.add(seconds, take(self._scores))
        self._before = now

    def finish(self, folder: Path, mark: str) -> dict[str, Any]:
        """Write the pictures of the worst frames as ``folder``/worst_``mark``N.jpg; returns all that was found."""
        self._scores.end()
        self._blocks.finish(take(self._scores))
        worst = []
        for number, frame in enumerate(self._worst_frames.worst):
            picture = f"worst_{mark}{number}.jpg"
            frame.save(folder / picture)
            worst.append({"frame": frame.frame, "seconds": frame.seconds, "share": frame.share, "file": picture})
        return {
            "block_frames": self._blocks.length,
            "starts": self._blocks.starts,
            "blocks": [to_json(counts) for counts in self._blocks.counts],
            "worst": worst,
        }
