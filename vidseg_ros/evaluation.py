"""Judge a network on labelled sequences, through the same stream that the node runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from vidseg_ros.config import StreamConfig
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.engines import Engine
from vidseg_ros.metrics import Consistency, SegmentationScore, VideoConsistency
from vidseg_ros.stream import Frame, FrameStream

VC_WINDOWS = (8, 16)  # frames


class Judge:
    """Accumulates every metric over sequences, on ``device``; in a distributed run, over those of all processes."""

    def __init__(self, engine: Engine, config: StreamConfig | None = None, device: str = "cpu") -> None:
        self.engine, self.config, self.device = engine, config, device
        self.score = SegmentationScore(len(engine.labels)).to(device)
        self.stability = Consistency().to(device)
        self.constancy = [VideoConsistency(window).to(device) for window in VC_WINDOWS]

    def add(self, sequence: Sequence[StoredFrame], progress: Callable[[], None] = lambda: None) -> None:
        """Run a sequence from a fresh state; ``progress`` is called after each frame."""
        stream = FrameStream(self.engine, self.config)
        recent: deque[tuple[Tensor, Tensor]] = deque(maxlen=max(VC_WINDOWS))
        for item in sequence:
            clip = item.read()
            result = stream.step(Frame(clip.frames[0], item.stamp, item.sequence))
            recent.append((torch.from_numpy(result.labels), torch.from_numpy(clip.labels[0])))
            self._update(recent)
            progress()

    def _update(self, recent: deque[tuple[Tensor, Tensor]]) -> None:
        """Take in what the last frame completes."""
        predictions, labels = (torch.stack(planes).to(self.device) for planes in zip(*recent, strict=True))
        self.score.update(predictions[-1], labels[-1])
        self.stability.update(predictions[-2:], labels[-2:])
        for metric in self.constancy:
            metric.update(predictions[-metric.window :], labels[-metric.window :])

    def report(self) -> dict[str, Any]:
        """Return the figures of ``vidseg evaluate``: percentages to hundredths; what could not be measured is None."""
        values = self.score.compute()
        plain = {"miou": values["miou"], "acc": values["acc"], **self.stability.compute()}
        plain |= {f"vc{metric.window}": metric.compute() for metric in self.constancy}
        per_class = dict(zip(self.engine.labels.names, values["iou"], strict=True))
        report: dict[str, Any] = {name: _number(value) for name, value in plain.items()}
        return report | {"per_class": {name: _number(value) for name, value in per_class.items()}}


def evaluate(
    engine: Engine,
    sequences: Iterable[Sequence[StoredFrame]],
    config: StreamConfig | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Judge ``engine`` on all sequences; the report, with the number of frames."""
    judge, frames = Judge(engine, config), 0
    for sequence in sequences:
        judge.add(sequence, progress)
        frames += len(sequence)
    return judge.report() | {"frames": frames}


def _number(value: Tensor) -> float | None:
    return None if value.isnan() else round(value.item(), 2)
