"""All metrics of one video and one checkpoint, counted in blocks of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.evaluation import Scores, by_class, number
from vidseg_ros.labels import LabelSet
from vidseg_ros.metrics import Flicker, TemporalConsistency, TrajectoryConsistency, estimate_flow, visible

Counts = Mapping[str, Mapping[str, Tensor]]
"""What the accumulators hold: metric -> state -> tensor. Counts of two stretches of video add up."""

MAX_BLOCKS = 256  # kept of one video; more are joined two by two
FIGURES = {
    "miou": "mIoU",
    "acc": "Acc",
    "cons": "Cons",
    "consw": "ConsW",
    "vc8": "VC8",
    "vc16": "VC16",
    "tc": "TC (as published)",
    "tc_visible": "TC (occlusion-aware)",
    "trajectory": "Trajectory consistency",
    "flicker": "Raw flicker rate",
}
"""Keys of metrics.json, and what people call them."""

LOWER_IS_BETTER = ("consw", "flicker")


@dataclass(frozen=True)
class Motion:
    """Flow from the frame before to this one, (H, W, 2), and which pixels of the frame before are still seen."""

    flow: Tensor
    seen: Tensor

    @staticmethod
    def between(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> Motion:
        """Estimate the motion between two frames, RGB uint8 (H, W, 3)."""
        flow = estimate_flow(before, now)
        return Motion(flow, visible(flow, estimate_flow(now, before)))


class VideoScores(Scores):
    """Metrics with and without ground truth, fed frame by frame."""

    def __init__(self, labels: LabelSet) -> None:
        super().__init__(labels)
        self.tc = TemporalConsistency(len(labels))
        self.trajectory = TrajectoryConsistency()
        self.flicker = Flicker(len(labels))

    @property
    def metrics(self) -> dict[str, Any]:
        """The accumulators by name."""
        own = {"tc": self.tc, "trajectory": self.trajectory, "flicker": self.flicker}
        return super().metrics | own

    def follow(self, before: Tensor | None, now: Tensor, motion: Motion | None) -> None:
        """Take in a prediction, ids uint8 (H, W), and the one ``before`` unless a sequence begins.

        Without the ``motion`` between the two, only flicker is measured.
        """
        if before is not None:
            self.flicker.update(before, now)
        if before is None or motion is None:
            self.trajectory.update(now)
        else:
            self.tc.update(before, now, motion.flow, motion.seen)
            self.trajectory.update(now, motion.flow, motion.seen)

    def take(self) -> Counts:
        """Hand out what was counted since the last time."""
        taken: dict[str, dict[str, Tensor]] = {}
        for name, metric in self.metrics.items():
            taken[name] = {state: getattr(metric, state) for state in metric._defaults}
            for state, empty in metric._defaults.items():
                setattr(metric, state, empty.clone())
        return taken


def figures(counts: Counts, scores: VideoScores) -> dict[str, Any]:
    """Return all figures, unrounded: the names of FIGURES, ``iou`` and ``flicker_by_class`` (classes,).

    scores: lends its formulas; what it held is lost.
    """
    metrics = scores.metrics
    for name, states in counts.items():
        vars(metrics[name]).update(states)  # setattr of a module looks at each value for long
    # the functions of the classes: torchmetrics wraps those of the objects, and warns that nothing was fed
    computed = {name: type(metric).compute(metric) for name, metric in metrics.items()}
    flicker, windows = computed["flicker"], {name: computed[name] for name in ("vc8", "vc16")}
    plain = {**computed["score"], **computed["stability"], **windows, **computed["tc"]}
    return plain | {
        "trajectory": computed["trajectory"],
        "flicker": flicker["flicker"],
        "flicker_by_class": flicker["per_class"],
    }


def rounded(counts: Counts, labels: LabelSet) -> dict[str, Any]:
    """Return the figures of metrics.json: percent, None for what could not be measured."""
    values = figures(counts, VideoScores(labels))
    plain: dict[str, Any] = {name: number(values[name]) for name in FIGURES}
    return plain | {
        "per_class": by_class(labels, values["iou"]),
        "flicker_per_class": by_class(labels, values["flicker_by_class"]),
    }


def total(parts: Sequence[Counts]) -> Counts:
    """Add counts up."""
    first = parts[0]
    return {
        name: {state: torch.stack([part[name][state] for part in parts]).sum(0) for state in states}
        for name, states in first.items()
    }


class Blocks:
    """Counts over time in at most MAX_BLOCKS blocks of equally many frames, whatever the length of the video."""

    def __init__(self) -> None:
        self.length = 1  # frames
        self.starts: list[float] = []  # seconds
        self.counts: list[Counts] = []
        self._open = 0  # frames in the last block

    def add(self, seconds: float, counts: Counts) -> None:
        """Append what a frame added."""
        if self._open % self.length:
            self.counts[-1] = total([self.counts[-1], counts])
        else:
            if len(self.counts) == MAX_BLOCKS:
                self._join()
            self.starts.append(seconds)
            self.counts.append(counts)
            self._open = 0
        self._open += 1

    def finish(self, counts: Counts) -> None:
        """Add what the end of the video brought to the last block."""
        if self.counts:
            self.counts[-1] = total([self.counts[-1], counts])

    def _join(self) -> None:
        self.counts = [total(self.counts[i : i + 2]) for i in range(0, MAX_BLOCKS, 2)]
        self.starts = self.starts[::2]
        self.length *= 2


def to_json(counts: Counts) -> dict[str, dict[str, Any]]:
    """Make counts plain."""
    return {name: {state: value.tolist() for state, value in states.items()} for name, states in counts.items()}


def from_json(plain: Mapping[str, Mapping[str, Any]], labels: LabelSet) -> Counts:
    """Read what ``to_json`` gave."""
    kinds = VideoScores(labels).take()
    return {
        name: {state: torch.tensor(value, dtype=kinds[name][state].dtype) for state, value in states.items()}
        for name, states in plain.items()
    }
