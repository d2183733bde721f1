"""One camera frame, and what continues it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One camera frame: RGB uint8 (H, W, 3), its stamp in seconds, and what identifies the camera's set-up.

    step: seconds since the frame that the camera sent before, which is not the last one processed where frames were
    dropped; None takes it from the stamps.
    """

    rgb: NDArray[np.uint8]
    stamp: float
    frame_id: str = ""
    encoding: str = ""
    step: float | None = None


def discontinuity(last: Frame, frame: Frame, max_gap: float) -> str:
    """Return why ``frame`` does not continue the ``last`` one, or ""; ``max_gap`` is in seconds."""
    elapsed = frame.stamp - last.stamp
    step = elapsed if frame.step is None else frame.step
    if min(elapsed, step) < 0:
        return f"time ran back by {-min(elapsed, step):.3f} s"
    if round(step, 6) > max_gap:
        return f"time jumped by {step:.3f} s (max_gap is {max_gap} s)"
    if frame.rgb.shape != last.rgb.shape:
        return "resolution changed from {1}x{0} to {3}x{2}".format(*last.rgb.shape[:2], *frame.rgb.shape[:2])
    for what in ("frame_id", "encoding"):
        if getattr(frame, what) != getattr(last, what):
            return f"{what} changed from '{getattr(last, what)}' to '{getattr(frame, what)}'"
    return ""


def resize(image: NDArray[np.uint8], size: tuple[int, int], how: int) -> NDArray[np.uint8]:
    """Resize an image to (width, height), where that differs."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
