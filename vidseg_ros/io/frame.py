"""One camera frame, and what continues it. Time is integer nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_GAP = 0.5
"""Seconds between two frames beyond which the second one begins a new sequence."""

DEFAULT_FPS = 15.0
"""Of images whose rate nobody tells."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera frame: RGB uint8 (H, W, 3), its stamp in nanoseconds, and what identifies the camera's set-up.

    elapsed: nanoseconds since the frame that the camera sent before, which is not the last one processed where frames
    were dropped; None takes it from the stamps. recorded: when a bag received it, nanoseconds. name: of the file that
    it comes from, without suffix; the number of the frame in a video; its stamp in a bag.
    """

    rgb: NDArray[np.uint8]
    stamp: int
    frame_id: str = ""
    encoding: str = ""
    elapsed: int | None = None
    recorded: int = 0
    name: str = ""


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds.

    >>> nanoseconds(0.1)
    100000000
    """
    return round(seconds * 1e9)


def frame_rate(stamps: Sequence[int]) -> float | None:
    """Frames a second of a camera that took pictures at ``stamps``, nanoseconds, whatever its pauses.

    It is that of the median distance; None where time does not rise.

    >>> frame_rate([0, 100_000_000, 200_000_000, 9_000_000_000])
    10.0
    """
    steps = np.diff(stamps)
    steps = steps[steps > 0]
    return float(1e9 / np.median(steps)) if len(steps) else None


def time_break(elapsed: int, max_gap: float = MAX_GAP) -> str:
    """Why what comes ``elapsed`` nanoseconds later does not continue what came before, or ""; ``max_gap`` in seconds.

    >>> time_break(-200_000_000)
    'time ran back by 0.200 s'
    """
    seconds = elapsed * 1e-9
    if elapsed < 0:
        return f"time ran back by {-seconds:.3f} s"
    if round(seconds, 6) > max_gap:
        return f"time jumped by {seconds:.3f} s (max_gap is {max_gap} s)"
    return ""


def discontinuity(last: Frame, frame: Frame, max_gap: float = MAX_GAP) -> str:
    """Why ``frame`` does not continue the ``last`` one, or ""; ``max_gap`` is in seconds."""
    elapsed = frame.stamp - last.stamp
    between_images = elapsed if frame.elapsed is None else frame.elapsed
    backwards = min(elapsed, between_images, 0)
    if reason := time_break(backwards or between_images, max_gap):
        return reason
    if frame.rgb.shape != last.rgb.shape:
        return "resolution changed from {1}x{0} to {3}x{2}".format(*last.rgb.shape[:2], *frame.rgb.shape[:2])
    for what in ("frame_id", "encoding"):
        if getattr(frame, what) != getattr(last, what):
            return f"{what} changed from '{getattr(last, what)}' to '{getattr(frame, what)}'"
    return ""


def runs(frames: Iterable[Frame], max_gap: float = MAX_GAP) -> Iterator[tuple[str, Iterator[Frame]]]:
    """Runs of frames that continue each other, and why each begins, "" for the first; take one before the next."""
    source = iter(frames)
    following = [("", frame) for frame in islice(source, 1)]

    def run(last: Frame) -> Iterator[Frame]:
        yield last
        for frame in source:
            if reason := discontinuity(last, frame, max_gap):
                following.append((reason, frame))
                return
            yield frame
            last = frame

    while following:
        reason, first = following.pop()
        yield reason, run(first)


def resize(image: NDArray[np.uint8], size: tuple[int, int], how: int) -> NDArray[np.uint8]:
    """The image at (width, height) ``size``, itself where that is its size."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
