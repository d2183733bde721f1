"""All metrics of a stream of labels, fed frame by frame."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from vidseg_ros.flow.motion import MEDIUM, Motion
from vidseg_ros.labels import LabelSet
from vidseg_ros.metrics import (
    Consistency,
    Flicker,
    SegmentationScore,
    TemporalConsistency,
    TrajectoryConsistency,
    VideoConsistency,
)

VC_WINDOWS = (8, 16)  # frames
BY_CLASS = {"iou": "per_class", "flicker_by_class": "flicker_per_class"}
"""Figures with a value for each class, and what reports call them."""

ALONG = f"flow: dense inverse search, {MEDIUM.preset}, from each frame to the next at its own size"
MEANINGS = {
    "tc": "ids of the next frame are warped bilinearly as if they were grey levels and cut to whole numbers, without a "
    f"mask (public code of ETC); {ALONG}, where the publication has FlowNet2; rounding: neighbours of one id give that "
    "id, where the float32 products of the public code can fall just below it and be cut to the id before",
    "tc_visible": f"the nearest id of the next frame, where the flow there and back agrees; {ALONG}; no rounding",
}
"""What figures are that others define in another way, by their names."""


class Scores:
    """All metrics against ground truth, fed frame by frame. ``metrics`` holds their accumulators.

    ``windows`` are those of VC; without any, one frame costs little enough for a live node.
    """

    def __init__(self, labels: LabelSet, device: str = "cpu", windows: Sequence[int] = VC_WINDOWS) -> None:
        self.labels, self.device = labels, device
        self.score = SegmentationScore(len(labels)).to(device)
        self.stability = Consistency().to(device)
        self.constancy = [VideoConsistency(window).to(device) for window in windows]
        self.recent: deque[tuple[Tensor, Tensor]] = deque(maxlen=max((2, *windows)))
        self.frames = 0

    @property
    def metrics(self) -> dict[str, Metric]:
        """The accumulators by name."""
        windows = {f"vc{metric.window}": metric for metric in self.constancy}
        return {"score": self.score, "stability": self.stability, **windows}

    def begin(self) -> None:
        """Begin a new sequence: what comes next is not compared with what came before."""
        self.recent.clear()

    def add(self, predicted: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Take in the next frame, ids uint8 (H, W) each; one of another size begins a new sequence."""
        if self.recent and self.recent[-1][0].shape != predicted.shape:
            self.begin()
        self.recent.append((torch.from_numpy(predicted), torch.from_numpy(labels)))
        predictions, truth = (torch.stack(planes).to(self.device) for planes in zip(*self.recent, strict=True))
        self.score.update(predictions[-1], truth[-1])
        self.stability.update(predictions[-2:], truth[-2:])
        for metric in self.constancy:
            metric.update(predictions[-metric.window :], truth[-metric.window :])
        self.frames += 1

    def report(self) -> dict[str, Any]:
        """Percentages to hundredths; what could not be measured is None."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The ``compute`` method")  # before the first frame, too
            computed = {name: metric.compute() for name, metric in self.metrics.items()}
        return rounded(flat(computed), self.labels)


class VideoScores(Scores):
    """These, and the metrics that need no ground truth but the flow between frames."""

    def __init__(self, labels: LabelSet) -> None:
        super().__init__(labels)
        self.tc = TemporalConsistency(len(labels))
        self.trajectory = TrajectoryConsistency()
        self.bounded = TrajectoryConsistency()  # with all stopping rules of the paper
        self.flicker = Flicker(len(labels))
        self._rgb: NDArray[np.uint8] | None = None

    @property
    def metrics(self) -> dict[str, Metric]:
        """The accumulators by name."""
        tracks = {"trajectory": self.trajectory, "trajectory_bounded": self.bounded}
        return super().metrics | {"tc": self.tc, **tracks, "flicker": self.flicker}

    def begin(self) -> None:
        """Begin a new sequence."""
        super().begin()
        self._rgb = None

    def look(self, rgb: NDArray[np.uint8]) -> None:
        """Take in the frame, RGB uint8 (H, W, 3), of the prediction that was added last."""
        now = self.recent[-1][0]
        if self._rgb is None:
            self.follow(None, now, None)
        else:
            self.follow(self.recent[-2][0], now, Motion.between(self._rgb, rgb))
        self._rgb = rgb

    def follow(self, before: Tensor | None, now: Tensor, motion: Motion | None) -> None:
        """Take in a prediction, ids uint8 (H, W), and the one ``before`` unless a sequence begins.

        Without the ``motion`` between the two, only flicker is measured.
        """
        if before is not None:
            self.flicker.update(before, now)
        if before is None or motion is None:
            self.trajectory.update(now)
            self.bounded.update(now)
        else:
            self.tc.update(before, now, motion.flow, motion.seen)
            self.trajectory.update(now, motion.flow, motion.seen)
            self.bounded.update(now, motion.flow, motion.tracked)

    def end(self) -> None:
        """End the last sequence: count the trajectories that still live."""
        self.trajectory.end()
        self.bounded.end()


def meanings(report: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What a report adds to say what its figures are: ``about``, by their names; nothing for what was not measured."""
    about = {name: text for name, text in MEANINGS.items() if report.get(name) is not None}
    return {"about": about} if about else {}


def flat(computed: Mapping[str, Any]) -> dict[str, Tensor]:
    """Figures of several metrics by name; one that computes a single figure lends it its own."""
    values: dict[str, Tensor] = {}
    for name, value in computed.items():
        values |= value if isinstance(value, dict) else {name: value}
    return values


def rounded(values: Mapping[str, Tensor], labels: LabelSet) -> dict[str, Any]:
    """Percentages to hundredths, figures by class by its name; what could not be measured is None."""
    plain: dict[str, Any] = {name: number(value) for name, value in values.items() if name not in BY_CLASS}
    return plain | {title: by_class(labels, values[name]) for name, title in BY_CLASS.items() if name in values}


def number(value: Tensor) -> float | None:
    """A figure to hundredths, or None for NaN."""
    return None if value.isnan() else round(value.item(), 2)


def by_class(labels: LabelSet, values: Tensor) -> dict[str, float | None]:
    """Figures (classes,) by the names of the classes."""
    return dict(zip(labels.names, map(number, values), strict=True))
