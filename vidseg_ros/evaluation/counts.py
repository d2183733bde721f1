"""What the metrics of one video and one checkpoint have counted, in blocks of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vidseg_ros.evaluation.scores import VideoScores, flat, rounded
from vidseg_ros.labels import LabelSet

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
    "trajectory_bounded": "Trajectory consistency (motion boundaries, too)",
    "flicker": "Raw flicker rate",
}
"""Keys of metrics.json, and what people call them."""

LOWER_IS_BETTER = ("consw", "flicker")


def take(scores: VideoScores) -> Counts:
    """Hand out what was counted since the last time."""
    taken: dict[str, dict[str, Tensor]] = {}
    for name, metric in scores.metrics.items():
        taken[name] = {state: getattr(metric, state) for state in metric._defaults}
        for state, value in taken[name].items():
            setattr(metric, state, torch.zeros_like(value))
    return taken


def figures(counts: Counts, scores: VideoScores) -> dict[str, Tensor]:
    """All figures, unrounded: the names of FIGURES, ``iou`` and ``flicker_by_class`` (classes,).

    scores: lends its formulas; what it held is lost.
    """
    metrics = scores.metrics
    for name, states in counts.items():
        vars(metrics[name]).update(states)  # setattr of a module looks at each value for long
    # the functions of the classes: torchmetrics wraps those of the objects, and warns that nothing was fed
    return flat({name: type(metric).compute(metric) for name, metric in metrics.items()})


def report_of(counts: Counts, labels: LabelSet) -> dict[str, Any]:
    """Figures of metrics.json: percent, None for what could not be measured."""
    return rounded(figures(counts, VideoScores(labels)), labels)


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
    kinds = take(VideoScores(labels))
    return {
        name: {state: torch.tensor(value, dtype=kinds[name][state].dtype) for state, value in states.items()}
        for name, states in plain.items()
    }
