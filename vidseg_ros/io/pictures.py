"""Pictures for people: labels over frames, frames side by side, and videos of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError, describe
from vidseg_ros.io.frame import resize
from vidseg_ros.io.images import write_image

OPACITY = 0.5  # of the label colours in overlays
CODEC, QUALITY = "mpeg4", 4  # 1 is the best, 31 the worst
RATES, RATE_STEPS = (1.0, 120.0), 1000  # pictures a second that players show
LARGEST = 4096  # pixels, of either side


def blend(rgb: NDArray[np.uint8], color: NDArray[np.uint8], opacity: float = OPACITY) -> NDArray[np.uint8]:
    """Mix label colours into a picture, both RGB uint8 (H, W, 3)."""
    return np.asarray(cv2.addWeighted(rgb, 1.0 - opacity, color, opacity, 0.0), np.uint8)


class Film:
    """Writes RGB pictures to ``path`` (.mp4), and the last of them beside it as a .png.

    A film only serves looking, and ends nothing: where it cannot go on, ``problem`` says why. What players and the
    encoder do not take is made to fit: the rate to RATES, large pictures to LARGEST.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.problem = ""
        self._path, self._rate = path, Fraction(min(max(fps, RATES[0]), RATES[1])).limit_denominator(RATE_STEPS)
        self._stack = ExitStack()  # closes what is open
        self._container: Any = None
        self._stream: Any = None
        self._last: NDArray[np.uint8] | None = None
        self._count = 0

    def append(self, rgb: NDArray[np.uint8]) -> None:
        """Add a picture, uint8 (H, W, 3)."""
        self._last = rgb
        if self.problem:
            return
        with self._noting():
            if self._stream is None:
                self._open(rgb)
            size = (self._stream.width, self._stream.height)  # of the first picture: a film has one size
            picture = av.VideoFrame.from_ndarray(resize(rgb, size, cv2.INTER_AREA), format="rgb24")
            picture.pts, picture.time_base = self._count, 1 / self._rate
            self._container.mux(self._stream.encode(picture))
            self._count += 1

    def _open(self, rgb: NDArray[np.uint8]) -> None:
        file = self._stack.enter_context(self._path.open("wb"))
        self._container = self._stack.enter_context(av.open(file, "w", format="mp4"))
        self._stream = self._container.add_stream(CODEC, rate=self._rate)
        shrink = min(1.0, LARGEST / max(rgb.shape))
        self._stream.height, self._stream.width = (max(round(shrink * side), 1) for side in rgb.shape[:2])
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.qmin = self._stream.codec_context.qmax = QUALITY

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note what goes wrong, and write no more."""
        try:
            yield
        except (av.FFmpegError, OSError, ValueError, UserError) as error:
            self.problem = self.problem or f"no film '{self._path}' ({describe(error)}); all else is not affected"

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._noting(), self._stack:
            if self._stream is not None and not self.problem:
                self._container.mux(self._stream.encode())
        if self._last is not None:
            with self._noting():
                write_image(self._path.with_suffix(".png"), np.ascontiguousarray(self._last[..., ::-1]))
