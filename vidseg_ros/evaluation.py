"""Judge a checkpoint on labelled sequences, through the same stream that the node runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from vidseg_ros.config import StreamConfig
from vidseg_ros.data.camvid import CamVidFrame
from vidseg_ros.engines import Engine
from vidseg_ros.metrics import Consistency, SegmentationScore
from vidseg_ros.stream import Frame, FrameStream


def evaluate(
    engine: Engine,
    sequences: Iterable[Sequence[CamVidFrame]],
    config: StreamConfig | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run every sequence from a fresh state and return the report: percentages, and the number of frames.

    ``progress`` is called after each frame.
    """
    score, stability = SegmentationScore(len(engine.labels)), Consistency()
    frames = 0
    for sequence in sequences:
        stream = FrameStream(engine, config)
        pair: list[tuple[torch.Tensor, torch.Tensor]] = []
        for item in sequence:
            clip = item.read()
            result = stream.step(Frame(clip.frames[0], item.stamp, item.scene))
            pair = [*pair[-1:], (torch.from_numpy(result.labels), torch.from_numpy(clip.labels[0]))]
            score.update(*pair[-1])
            stability.update(*(torch.stack(planes) for planes in zip(*pair, strict=True)))
            frames += 1
            progress()
    return _report(engine, score, stability) | {"frames": frames}


def _report(engine: Engine, score: SegmentationScore, stability: Consistency) -> dict[str, Any]:
    """Round to hundredths; what could not be measured is None."""
    values = score.compute()
    plain = {"miou": values["miou"], "acc": values["acc"], **stability.compute()}
    per_class = dict(zip(engine.labels.names, values["iou"], strict=True))
    report: dict[str, Any] = {name: _number(value) for name, value in plain.items()}
    return report | {"per_class": {name: _number(value) for name, value in per_class.items()}}


def _number(value: torch.Tensor) -> float | None:
    return None if value.isnan() else round(value.item(), 2)
