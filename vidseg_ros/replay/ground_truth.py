"""Ground truth beside a recording: a label topic of its bag, or a folder of label images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data import camvid
from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import ImageTopic, image_topics
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import compressed_to_rgb, find_decoder, image_to_rgb
from vidseg_ros.io.images import coding, image_files
from vidseg_ros.io.recordings import Recording
from vidseg_ros.labels import CAMVID, IGNORE, IGNORE_COLOR, OUTSIDE, LabelSet, translation

TOLERANCE = 10**6  # nanoseconds between the stamps of an image and its labels: what conversions to floats lose
LOOK_AHEAD = 64  # label messages that may wait for their image


class GroundTruth(Protocol):
    """Knows the labels of frames."""

    def of(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Return the ids, uint8 (H, W), of a frame; None where it has none. Frames come in order. Raises UserError."""


class Reading:
    """Turns the pixels of label images into ids of ``labels``: ids or colours of the label set ``palette``."""

    def __init__(self, palette: LabelSet, labels: LabelSet) -> None:
        self.palette = palette
        known = camvid.CODING if palette == CAMVID else coding({i: i for i in range(len(palette))})
        table = translation(palette, labels)
        self.ids = np.where(known >= len(palette), known, np.take(table, known)).astype(np.uint8)
        colors = np.array([*palette.colors, IGNORE_COLOR])
        order = np.argsort(_packed(colors))
        self.colors, self.of_color = _packed(colors)[order], np.array([*table[: len(palette)], IGNORE])[order]

    def decode(self, pixels: NDArray[np.uint8], frame: Frame, where: str) -> NDArray[np.uint8]:
        """Return ids uint8 (H, W) of ids (H, W) or RGB colours (H, W, 3). Raises UserError for what is neither."""
        if pixels.shape[:2] != frame.rgb.shape[:2]:
            raise UserError(
                f"labels '{where}' are {pixels.shape[1]}x{pixels.shape[0]} but their frame is "
                f"{frame.rgb.shape[1]}x{frame.rgb.shape[0]}; record both at one size"
            )
        if pixels.ndim == 2:
            labels = np.take(self.ids, pixels)
        else:
            packed = _packed(pixels)
            place = np.searchsorted(self.colors, packed).clip(max=len(self.colors) - 1)
            labels = np.where(self.colors[place] == packed, self.of_color[place], OUTSIDE).astype(np.uint8)
        if (labels == OUTSIDE).any():
            raise UserError(
                f"labels '{where}' hold {pixels[labels == OUTSIDE][0]}, which is neither an id nor a colour of label "
                f"set '{self.palette.name}'; name theirs with --palette (and send no labels through JPEG)"
            )
        return labels


class LabelTopic:
    """Labels of the same bag, matched by stamp."""

    def __init__(self, topic: ImageTopic, reading: Reading) -> None:
        self._topic, self._reading = topic, reading
        self._messages = self._read()
        self._waiting: dict[int, Any] = {}

    def _read(self) -> Iterator[tuple[int, Any]]:
        for _, data in self._topic.messages():
            message = self._topic.deserialize(data)
            yield message.header.stamp.sec * 10**9 + message.header.stamp.nanosec, message

    def of(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Return the labels with the stamp of ``frame``."""
        while len(self._waiting) < LOOK_AHEAD and not any(stamp >= frame.stamp for stamp in self._waiting):
            entry = next(self._messages, None)
            if entry is None:
                break
            self._waiting[entry[0]] = entry[1]
        fitting = [stamp for stamp in self._waiting if abs(stamp - frame.stamp) <= TOLERANCE]
        message = self._waiting.pop(min(fitting, key=lambda stamp: abs(stamp - frame.stamp))) if fitting else None
        self._waiting = {stamp: kept for stamp, kept in self._waiting.items() if stamp > frame.stamp}
        where = f"{self._topic.topic} at {frame.stamp * 1e-9:.3f} s"
        return None if message is None else self._reading.decode(self._pixels(message), frame, where)

    def _pixels(self, message: Any) -> NDArray[np.uint8]:
        if self._topic.compressed:
            rgb = compressed_to_rgb(message)
            return rgb if (np.ptp(rgb, axis=-1) > 0).any() else rgb[..., 0]
        rgb = image_to_rgb(message, find_decoder())
        return rgb[..., 0] if message.encoding in ("mono8", "8UC1") else rgb


class LabelFolder:
    """Label images with the names of their frames; for a bag, their stamps in nanoseconds."""

    def __init__(self, folder: Path, reading: Reading) -> None:
        self._files = {file.stem: file for file in image_files(folder)}
        self._numbers = {int(stem): file for stem, file in self._files.items() if stem.isdecimal()}
        self._reading = reading

    def of(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Return the labels with the name of ``frame``; leading zeros do not matter."""
        file = self._files.get(frame.name)
        if file is None and frame.name.isdecimal():
            file = self._numbers.get(int(frame.name))
        if file is None:
            return None
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint8:
            raise UserError(f"cannot read label image '{file}'; make it an 8-bit PNG of ids or colours")
        if pixels.ndim == 3:
            pixels = np.ascontiguousarray(pixels[..., 2::-1])  # BGR, BGRA
        return self._reading.decode(np.asarray(pixels, np.uint8), frame, str(file))


def open_truth(labels: str, recording: Recording, reading: Reading) -> GroundTruth | None:
    """Open the label topic or folder that ``labels`` names; "" is no ground truth. Raises UserError."""
    if not labels:
        return None
    if Path(labels).is_dir():
        return LabelFolder(Path(labels), reading)
    if recording.topic is None:
        raise UserError(f"labels '{labels}' are no folder; name one with label images")
    return LabelTopic(image_topics(recording.topic.path, [labels])[0], reading)


def _packed(colors: NDArray[Any]) -> NDArray[np.int64]:
    """Make one number of each RGB colour (..., 3)."""
    return np.asarray(colors.astype(np.int64) @ np.array([65536, 256, 1]), np.int64)
