"""Videos by FFmpeg (PyAV): each frame at the time that its container gives it, and what is missing is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vidseg_ros import LARGEST_PICTURE
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import DEFAULT_FPS, Frame, frame_rate, nanoseconds
from vidseg_ros.io.image_messages import BadFrame

ALONE = {"protocol_whitelist": "none"}  # a playlist in the guise of a video opens nothing else
COUNTED, TIMED = ("mov",), ("mov", "matroska", "avi")  # containers that promise how many frames, how many seconds
RATED = 100  # packets at the beginning that tell the rate
SLACK = 0.2  # seconds, at least, by which a promised length may be wrong; or two frames


@dataclass(frozen=True)
class Video:
    """A video file: how many frames it is said to have, and what its container promises; 0 promises nothing."""

    path: Path
    count: int
    fps: float
    promised_frames: int
    promised_seconds: float

    def frames(self, frame_id: str = "") -> Iterator[Frame | BadFrame]:
        """Read the frames; the first is at 0. Raises UserError behind the last one of a video that is cut."""
        found = _Found()
        with _opened(self.path) as (container, stream):
            first: int | None = None
            for picture in found.pictures(container, stream):
                if isinstance(picture, BadFrame):
                    yield BadFrame(f"frame {found.read - 1} of video '{self.path}' is damaged ({picture})")
                    continue
                stamp = _stamp(picture, found.read - 1, self.fps)
                first = stamp if first is None else first
                name = str(found.read - 1)
                yield Frame(_upright(picture), stamp - first, frame_id, "color", recorded=stamp - first, name=name)
        if found.seconds + max(SLACK, 2 / self.fps) < self.promised_seconds:
            raise UserError(
                f"video '{self.path}' is cut: {found.read} of about {self.count} frames can be read, "
                f"{found.seconds:.1f} of {self.promised_seconds:.1f} s; copy or record it again"
            )
        for _ in range(found.read + found.discarded, self.promised_frames):
            yield BadFrame(f"video '{self.path}' lacks frames of the {self.promised_frames} it promises; copy it again")


class _Found:
    """What was found in a video: its pictures, those that it says not to show, and its length, sound included."""

    def __init__(self) -> None:
        self.read = self.discarded = 0
        self._begin = self._end = Fraction(0)
        self._any = False

    @property
    def seconds(self) -> float:
        """From the first packet to the end of the last one."""
        return float(self._end - self._begin)

    def pictures(self, container: Any, stream: Any) -> Iterator[av.VideoFrame | BadFrame]:
        """Read and decode; what is damaged is a BadFrame."""
        for packet in _packets(container):
            self._measure(packet)
            if packet.stream != stream:
                continue
            self.discarded += bool(packet.is_discard)
            for picture in _decoded(packet):
                self.read += 1
                yield picture

    def _measure(self, packet: Any) -> None:
        if packet.pts is None:
            return
        begin = packet.pts * packet.time_base
        end = begin + (packet.duration or 0) * packet.time_base
        self._begin = min(self._begin, begin) if self._any else begin
        self._end = max(self._end, end) if self._any else end
        self._any = True


def open_video(path: Path) -> Video:
    """Open a video. Raises UserError where no frame of it can be read."""
    with _opened(path) as (container, stream):
        named = container.format.name
        rate = stream.average_rate or stream.guessed_rate
        seconds = (container.duration or 0) / av.time_base if named.startswith(TIMED) else 0.0
        if stream.frames and rate and named.startswith(TIMED):
            seconds = max(seconds, float(stream.frames / rate))
        promised = stream.frames if named.startswith(COUNTED) else 0
        fps = _rate(container, stream) or float(rate or DEFAULT_FPS)
    if not any(isinstance(frame, Frame) for frame in Video(path, 0, fps, 0, 0.0).frames()):
        raise _no_video(path)
    return Video(path, promised or max(round(seconds * fps), 1), fps, promised, seconds)


def _rate(container: Any, stream: Any) -> float | None:
    """Frames a second at the beginning: the average counts pauses."""
    packets = islice((packet for packet in _packets(container) if packet.stream == stream), RATED)
    stamps = sorted(nanoseconds(packet.pts * packet.time_base) for packet in packets if packet.pts is not None)
    return frame_rate(stamps)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the container and its video. Raises UserError where FFmpeg finds none."""
    with path.open("rb") as file:
        try:
            container = av.open(file, options=ALONE)
        except (av.FFmpegError, OSError, ValueError) as error:  # PyAV raises either for what it knows
            raise _no_video(path) from error
        with container:
            stream = container.streams.best("video")
            if stream is None:
                raise _no_video(path)
            stream.codec_context.options = {"max_pixels": str(LARGEST_PICTURE)}  # before it takes memory for them
            yield container, stream


def _packets(container: Any) -> Iterator[Any]:
    """Read packets until the end, or until nothing can be read any more."""
    try:
        yield from container.demux()
    except av.FFmpegError:
        return


def _decoded(packet: Any) -> list[av.VideoFrame | BadFrame]:
    try:
        return [BadFrame("parts of it are missing") if p.is_corrupt else p for p in packet.decode()]
    except av.FFmpegError as error:
        return [BadFrame(str(error.strerror))]


def _stamp(picture: av.VideoFrame, number: int, fps: float) -> int:
    """When a picture is shown, nanoseconds; by its number where the container does not say."""
    if picture.pts is None or picture.time_base is None:
        return nanoseconds(number / fps)
    return round(picture.pts * picture.time_base * 10**9)


def _upright(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """The picture as RGB, uint8 (H, W, 3), turned as the camera was held."""
    rgb = np.rot90(picture.to_ndarray(format="rgb24"), picture.rotation // 90)
    return np.ascontiguousarray(rgb, np.uint8)


def _no_video(path: Path) -> UserError:
    return UserError(f"'{path}' holds no video that FFmpeg can read; use an .mp4, .avi, .mkv or a folder of images")
