"""A side-by-side video of inputs and label colours, and a picture of its last frame."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from vidseg_ros.errors import UserError
from vidseg_ros.ros.conversions import BadFrame, compressed_to_rgb, find_decoder, image_to_rgb
from vidseg_ros.ros.player import REMEMBERED

CODEC = "mp4v"  # the one that OpenCV's wheels can write


class Film:
    """Writes ``path`` (.mp4), and beside it a .png of the last pair."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._decoder = find_decoder()
        self._inputs: OrderedDict[int, Any] = OrderedDict()
        self._writer: cv2.VideoWriter | None = None
        self._size: tuple[int, ...] = ()  # shape of the first pair: a film has one size, the bag has all as they are
        self._last: NDArray[np.uint8] | None = None

    def expect(self, stamp: int, message: Image | CompressedImage) -> None:
        """Remember an input until its colours come."""
        self._inputs[stamp] = message
        if len(self._inputs) > REMEMBERED:
            self._inputs.popitem(last=False)

    def show(self, stamp: int, color: Image) -> None:
        """Append input and colours of one frame."""
        if stamp not in self._inputs:
            return
        try:
            rgb = self._decode(self._inputs.pop(stamp))
        except BadFrame:
            return
        pair = np.hstack([rgb, image_to_rgb(color, self._decoder)])
        if self._writer is None:
            self._writer, self._size = self._open(pair), pair.shape
        if pair.shape != self._size:
            pair = np.asarray(cv2.resize(pair, (self._size[1], self._size[0])), np.uint8)
        self._last = np.asarray(cv2.cvtColor(pair, cv2.COLOR_RGB2BGR), np.uint8)
        self._writer.write(self._last)

    def _decode(self, message: Image | CompressedImage) -> NDArray[np.uint8]:
        if isinstance(message, CompressedImage):
            return compressed_to_rgb(message)
        return image_to_rgb(message, self._decoder)

    def _open(self, pair: NDArray[np.uint8]) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*CODEC)
        writer = cv2.VideoWriter(str(self._path), codec, self._fps, (pair.shape[1], pair.shape[0]))
        if not writer.isOpened():
            raise UserError(f"cannot write video '{self._path}'; name a writable folder with --output")
        return writer

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and self._last is not None:
            self._writer.release()
            cv2.imwrite(str(self._path.with_suffix(".png")), self._last)
