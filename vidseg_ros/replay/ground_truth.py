"""Ground truth beside a recording: a label topic of its bag, or a folder of label images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data import camvid
from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import ImageTopic, image_topics
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import find_decoder, image_to_rgb
from vidseg_ros.io.images import image_files
from vidseg_ros.io.label_images import LabelImage, coding, decode_label_png, read_label_image
from vidseg_ros.io.recordings import Recording
from vidseg_ros.labels import CAMVID, IGNORE, IGNORE_COLOR, OUTSIDE, LabelSet, translation

TOLERANCE = 10**6  # nanoseconds between the stamps of an image and its labels: what conversions to floats lose
IDS, COLORS = ("mono8", "8UC1"), ("rgb8", "bgr8", "rgba8", "bgra8", "8UC3")  # encodings that keep labels as they are
LOOK_AHEAD = 64  # label messages that may wait for their image
T = TypeVar("T", bound=Hashable)


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

    def decode(self, image: LabelImage, frame: Frame, where: str) -> NDArray[np.uint8]:
        """Return ids uint8 (H, W). Raises UserError for what is neither an id nor a colour.

        Where an image has both, its colours count if all are of the label set.
        """
        if image.size != frame.rgb.shape[:2]:
            raise UserError(
                f"labels '{where}' are {image.size[1]}x{image.size[0]} but their frame is "
                f"{frame.rgb.shape[1]}x{frame.rgb.shape[0]}; record both at one size"
            )
        unknown: list[object] = []
        for pixels, read in ((image.colors, self._of_colors), (image.ids, self._of_ids)):
            if pixels is not None:
                labels = read(pixels)
                if not (labels == OUTSIDE).any():
                    return labels
                unknown.append(pixels[labels == OUTSIDE][0])
        raise UserError(
            f"labels '{where}' hold {unknown[-1]}, which is neither an id nor a colour of label "
            f"set '{self.palette.name}'; name theirs with --palette (and send no labels through JPEG)"
        )

    def _of_ids(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.take(self.ids, pixels)

    def _of_colors(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        packed = _packed(pixels)
        place = np.searchsorted(self.colors, packed).clip(max=len(self.colors) - 1)
        return np.where(self.colors[place] == packed, self.of_color[place], OUTSIDE).astype(np.uint8)


class LabelTopic:
    """Labels of the same bag, matched by stamp."""

    def __init__(self, topic: ImageTopic, reading: Reading) -> None:
        self._topic, self._reading = topic, reading
        self._repeated = _repeated(topic.stamps(), f"labels '{topic.topic}'")
        self._messages = self._read()
        self._waiting: dict[int, Any] = {}

    def _read(self) -> Iterator[tuple[int, Any]]:
        for _, data in self._topic.messages():
            message = self._topic.deserialize(data)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if stamp not in self._repeated:
                yield stamp, message

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
        return None if message is None else self._reading.decode(self._image(message, where), frame, where)

    def _image(self, message: Any, where: str) -> LabelImage:
        if self._topic.compressed:
            return decode_label_png(bytes(message.data), where)
        if message.encoding not in IDS + COLORS:
            raise UserError(
                f"labels '{where}' are '{message.encoding}', a way of sending pictures that changes ids; "
                "publish ids as mono8 or colours as rgb8"
            )
        rgb = image_to_rgb(message, find_decoder())
        return LabelImage(ids=rgb[..., 0]) if message.encoding in IDS else LabelImage(colors=rgb)


class LabelFolder:
    """Label images with the names of their frames; for a bag, their stamps in nanoseconds.

    Raises UserError for two of one name.
    """

    def __init__(self, folder: Path, reading: Reading) -> None:
        self._files: dict[str, Path] = {}
        for file in image_files(folder):
            other = self._files.setdefault(file.stem, file)
            if other is not file:
                raise UserError(f"labels '{other}' and '{file}' are of one frame; remove one")
        numbers = Counter(int(stem) for stem in self._files if stem.isdecimal())
        self._numbers = {int(s): file for s, file in self._files.items() if s.isdecimal() and numbers[int(s)] == 1}
        self._reading = reading

    def of(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Return the labels with the name of ``frame``; leading zeros do not matter."""
        file = self._files.get(frame.name)
        if file is None and frame.name.isdecimal():
            file = self._numbers.get(int(frame.name))
        if file is None:
            return None
        return self._reading.decode(read_label_image(file), frame, str(file))


class Unmistakable:
    """The labels of frames that no other frame could be mistaken for; the others have none."""

    def __init__(self, truth: GroundTruth, recording: Recording) -> None:
        self._truth = truth
        self._repeated = _repeated(recording.names(), f"the frames of '{recording.path}'")

    def of(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Return the labels of ``frame``, where its name is its own."""
        return None if frame.name in self._repeated else self._truth.of(frame)


def _repeated(names: Iterable[T], whose: str) -> set[T]:
    """What comes more than once among ``names`` or stamps. Raises UserError where nothing else does."""
    counts: Counter[T] = Counter()
    with suppress(UserError):  # of a damaged bag, as far as it can be read
        counts.update(names)
    repeated = {name for name, count in counts.items() if count > 1}
    if repeated and len(repeated) == len(counts):
        raise UserError(
            f"{whose} cannot be told apart: all {counts.total()} have {', '.join(map(str, list(counts)[:3]))} for "
            "their stamp; record them from a driver that stamps each image, or leave --labels out"
        )
    return repeated


def open_truth(labels: str, recording: Recording, reading: Reading) -> GroundTruth | None:
    """Open the label topic or folder that ``labels`` names; "" is no ground truth. Raises UserError."""
    if not labels:
        return None
    if Path(labels).is_dir():
        return Unmistakable(LabelFolder(Path(labels), reading), recording)
    if recording.topic is None:
        raise UserError(f"labels '{labels}' are no folder; name one with label images")
    return Unmistakable(LabelTopic(image_topics(recording.topic.path, [labels])[0], reading), recording)


def _packed(colors: NDArray[Any]) -> NDArray[np.int64]:
    """Make one number of each RGB colour (..., 3)."""
    return np.asarray(colors.astype(np.int64) @ np.array([65536, 256, 1]), np.int64)
