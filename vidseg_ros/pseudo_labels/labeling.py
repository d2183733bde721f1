"""Which labels of a teacher are kept: those it is sure of, and says of the frames before and after, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.flow.motion import Motion
from vidseg_ros.io.frame import Frame, runs
from vidseg_ros.labels import IGNORE
from vidseg_ros.networks.bidirectional import forward_backward
from vidseg_ros.pseudo_labels.video_teacher import VideoTeacher
from vidseg_ros.teachers import Labeler, PseudoConfig


@dataclass(frozen=True, eq=False)
class Labelled:
    """A frame, its kept ids uint8 (H, W), IGNORE elsewhere, and whether a new video begins with it."""

    frame: Frame
    labels: NDArray[np.uint8]
    begins: bool


@dataclass(frozen=True, eq=False)
class _Seen:
    frame: Frame
    chosen: Tensor  # ids uint8 (H, W)
    sure: Tensor  # bool (H, W)
    begins: bool


def label(frames: Iterable[Frame], teacher: Labeler, config: PseudoConfig) -> Iterator[Labelled]:
    """Label a video; what comes out is one frame behind, since it waits for the frame after."""
    before: _Seen | None = None
    now: _Seen | None = None
    if config.bidirectional and isinstance(teacher, VideoTeacher):
        answers = _both_ways(frames, teacher)
    else:
        answers = _one_way(frames, teacher)
    for frame, begins, probabilities in answers:
        confidence, chosen = probabilities.cpu().max(0)
        after = _Seen(frame, chosen.byte(), confidence >= config.confidence, begins)
        if now is not None:
            yield _kept(now, [before if not now.begins else None, after if not begins else None], config)
        before, now = now, after
    if now is not None:
        yield _kept(now, [before if not now.begins else None], config)


def _one_way(frames: Iterable[Frame], teacher: Labeler) -> Iterator[tuple[Frame, bool, Tensor]]:
    """Each frame, whether a video begins with it, and the probabilities that the teacher gives it, (classes, H, W)."""
    for _, run in runs(frames):
        teacher.begin()
        for number, frame in enumerate(run):
            yield frame, number == 0, teacher.logits(frame.rgb).exp()


def _both_ways(frames: Iterable[Frame], teacher: VideoTeacher) -> Iterator[tuple[Frame, bool, Tensor]]:
    """The same with the mean of the way forward and the way back."""

    def step(frame: Frame, before: Frame | None, state: Any) -> tuple[Tensor, Any]:
        return teacher.step(frame.rgb, None if before is None else before.rgb, state)

    for _, run in runs(frames):
        for number, (frame, probabilities) in enumerate(forward_backward(run, step)):
            yield frame, number == 0, probabilities.float()


def _kept(now: _Seen, neighbours: list[_Seen | None], config: PseudoConfig) -> Labelled:
    """Drop what the teacher is not sure of, and what it labels otherwise in a neighbour that shows the same point."""
    keep = now.sure
    for other in neighbours:
        if other is not None and config.agreement:
            motion = Motion.between(now.frame.rgb, other.frame.rgb)
            keep = keep & (~motion.seen | motion.agree(now.chosen, other.chosen))
    return Labelled(now.frame, now.chosen.where(keep, IGNORE).numpy(), now.begins)
