"""Judge a network on labelled sequences, through the same stream that the node runs."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from vidseg_ros.config import StreamConfig
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.engines import Engine
from vidseg_ros.labels import LabelSet
from vidseg_ros.metrics import Consistency, SegmentationScore, VideoConsistency
from vidseg_ros.stream import Frame, FrameStream

VC_WINDOWS = (8, 16)  # frames


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
        """Return percentages to hundredths; what could not be measured is None."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The ``compute`` method")  # before the first frame, too
            values = self.score.compute()
            plain = {"miou": values["miou"], "acc": values["acc"], **self.stability.compute()}
            plain |= {f"vc{metric.window}": metric.compute() for metric in self.constancy}
        report: dict[str, Any] = {name: number(value) for name, value in plain.items()}
        return report | {"per_class": by_class(self.labels, values["iou"])}


class Judge(Scores):
    """Runs sequences through an engine and scores them; in a distributed run, over those of all processes."""

    def __init__(self, engine: Engine, config: StreamConfig | None = None, device: str = "cpu") -> None:
        super().__init__(engine.labels, device)
        self.engine, self.config = engine, config

    def run(self, sequence: Sequence[StoredFrame], progress: Callable[[], None] = lambda: None) -> None:
        """Run a sequence from a fresh state; ``progress`` is called after each frame."""
        stream = FrameStream(self.engine, self.config)
        self.begin()
        for item in sequence:
            clip = item.read()
            self.add(stream.step(Frame(clip.frames[0], item.stamp, item.sequence)).labels, clip.labels[0])
            progress()


def evaluate(
    engine: Engine,
    sequences: Iterable[Sequence[StoredFrame]],
    config: StreamConfig | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Judge ``engine`` on all sequences; the report, with the number of frames."""
    judge, frames = Judge(engine, config), 0
    for sequence in sequences:
        judge.run(sequence, progress)
        frames += len(sequence)
    return judge.report() | {"frames": frames}


def number(value: Tensor) -> float | None:
    """Return a figure to hundredths, or None for NaN."""
    return None if value.isnan() else round(value.item(), 2)


def by_class(labels: LabelSet, values: Tensor) -> dict[str, float | None]:
    """Return the figures (classes,) by the names of the classes."""
    return dict(zip(labels.names, map(number, values), strict=True))
