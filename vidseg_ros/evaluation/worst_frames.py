"""The frames of a video whose labels change most where they should not, as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidseg_ros.files import write_atomic
from vidseg_ros.flow.motion import Motion
from vidseg_ros.labels import IGNORE

KEPT = 4
APART = 15  # frames between two that are kept
QUALITY = 85  # of the JPEG files
WHITE, BLACK, GREY = 255, 0, 128


@dataclass(frozen=True, eq=False)
class SegmentedFrame:
    """One frame: predicted ids uint8 (H, W), their colours over the picture (H, W, 3), true ids where known."""

    labels: NDArray[np.uint8]
    overlay: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """Two frames between which labels changed that should not have: ``share`` of the pixels that should stay."""

    frame: int
    seconds: float
    share: float
    picture: bytes  # JPEG

    def save(self, path: Path) -> None:
        """Write the picture. Raises UserError."""
        write_atomic(path, self.picture)


def inconsistency(
    before: SegmentedFrame, now: SegmentedFrame, motion: Motion | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks, bool (H, W) each, of the pixels that changed their predicted label, and of those that may.

    With ground truth as in Figure 3 of the F2F paper: a pixel may change where the true label does (or is unknown).
    Without, a pixel may change that is hidden in the next frame, and labels are compared along the flow; without
    ``motion`` too, nothing is known and all may change.
    """
    changed = before.labels != now.labels
    if before.truth is not None and now.truth is not None:
        return changed, (before.truth != now.truth) | (now.truth == IGNORE)
    if motion is None:
        return changed, np.ones_like(changed)
    agreed = motion.agree(torch.from_numpy(before.labels), torch.from_numpy(now.labels))
    return ~agreed.numpy(), ~motion.seen.numpy()


class WorstFrames:
    """Keeps the KEPT worst frames of a video, not two of the same instant."""

    def __init__(self) -> None:
        self.worst: list[WorstFrame] = []

    def consider(
        self, frame: int, seconds: float, before: SegmentedFrame, now: SegmentedFrame, motion: Motion | None
    ) -> None:
        """Take a pair of frames in, if it is worse than what is kept."""
        changed, free = inconsistency(before, now, motion)
        share = float((changed & ~free).sum() / max(int((~free).sum()), 1))
        near = [worst for worst in self.worst if frame - worst.frame < APART]
        rivals = near or (self.worst[-1:] if len(self.worst) == KEPT else [])
        if share == 0 or any(worst.share >= share for worst in rivals):
            return
        picture = _encode(_panel(before, now, changed, free))
        kept = [worst for worst in self.worst if worst not in rivals]
        found = WorstFrame(frame, seconds, share, picture)
        self.worst = sorted([*kept, found], key=lambda worst: (-worst.share, worst.frame))


def _panel(
    before: SegmentedFrame, now: SegmentedFrame, changed: NDArray[np.bool_], free: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Put both frames over the map of changes (white) and that of the pixels that may change (white)."""
    maps = [
        np.repeat(np.where(mask, WHITE, BLACK)[..., None], 3, axis=2).astype(np.uint8)
        for mask in (changed & ~free, free)
    ]
    rows = [np.hstack([before.overlay, now.overlay]), np.hstack(maps)]
    return np.vstack([rows[0], np.full((2, rows[0].shape[1], 3), GREY, np.uint8), rows[1]])


def _encode(rgb: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()
