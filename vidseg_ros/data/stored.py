"""Frames on disk, their labels, and the sequences they form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.clip import Clip
from vidseg_ros.io.frame import time_break
from vidseg_ros.io.images import read_rgb
from vidseg_ros.io.label_images import read_labels
from vidseg_ros.labels import IGNORE


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """One frame on disk; ``label`` is None where nobody labelled it."""

    image: Path
    label: Path | None
    sequence: str
    stamp: int  # nanoseconds
    coded: NDArray[np.uint8]  # from the values of the label file to ids: io.label_images.coding

    def read(self) -> Clip:
        """Read the frame as a clip of one. Raises UserError where an image is missing, damaged or unfit."""
        rgb = read_rgb(self.image)
        if self.label is None:
            labels = np.full(rgb.shape[:2], IGNORE, np.uint8)
        else:
            labels = read_labels(self.label, self.coded, rgb.shape[:2])
        return Clip(rgb[None], labels[None], np.array([self.stamp]), self.sequence)


def sequences(frames: Sequence[StoredFrame]) -> Iterator[list[StoredFrame]]:
    """Split frames into runs of one sequence that a stream would not forget between."""
    run: list[StoredFrame] = []
    for frame in frames:
        if run and (frame.sequence != run[-1].sequence or time_break(frame.stamp - run[-1].stamp)):
            yield run
            run = []
        run.append(frame)
    if run:
        yield run


def label_shares(clips: Iterable[Clip]) -> NDArray[np.float64]:
    """The share of each label id among all pixels of the clips, IGNORE included, (256,)."""
    counts = sum((np.bincount(clip.labels.ravel(), minlength=256) for clip in clips), np.zeros(256))
    return np.asarray(counts / max(counts.sum(), 1))


def read_clip(frames: Sequence[StoredFrame]) -> Clip:
    """Read consecutive frames of one size as one clip."""
    clips = [frame.read() for frame in frames]
    return Clip(
        np.concatenate([clip.frames for clip in clips]),
        np.concatenate([clip.labels for clip in clips]),
        np.concatenate([clip.stamps for clip in clips]),
        frames[0].sequence,
    )
