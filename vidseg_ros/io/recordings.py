"""The one opener of recordings: the cameras of bags, videos and folders of images, a frame at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vidseg_ros.errors import UserError
from vidseg_ros.files import distinct
from vidseg_ros.io.bag_reader import ImageTopic, image_topics, is_bag, require_no_ros1_bag
from vidseg_ros.io.frame import DEFAULT_FPS, Frame, nanoseconds
from vidseg_ros.io.image_messages import BadFrame, compressed_picture, find_decoder, raw_picture
from vidseg_ros.io.images import image_files, passed_over, read_rgb
from vidseg_ros.io.videos import open_video

T = TypeVar("T")

FRAME_ID = "camera"  # of videos and folders, which name none


@dataclass(frozen=True)
class Recording:
    """The frames of one camera. ``frames`` begins anew each time; a BadFrame stands where no frame could be read.

    camera: "" for the only one of its input. count: of the frames, as far as the input tells. names: of the frames,
    without reading their pictures. topic: of a bag.
    """

    path: Path
    camera: str
    count: int
    fps: float
    frames: Callable[[], Iterator[Frame | BadFrame]]
    names: Callable[[], Iterator[str]]
    topic: ImageTopic | None = None


def open_recordings(path: Path, topics: Sequence[str] = (), fps: float = DEFAULT_FPS) -> list[Recording]:
    """Open a bag (its only camera, or all ``topics``), a video, or a folder of images at ``fps``. Raises UserError."""
    if not path.exists():
        raise UserError(f"input '{path}' does not exist; name a bag, a video or a folder of images")
    require_no_ros1_bag(path)
    if is_bag(path):
        found = image_topics(path, topics)
        names = camera_names([topic.topic for topic in found]) if len(found) > 1 else [""]
        return [_of_topic(topic, name) for topic, name in zip(found, names, strict=True)]
    return [_of_video(path) if path.is_file() else _of_folder(path, fps)]


def usable(frames: Iterable[T | BadFrame], skipped: list[BadFrame]) -> Iterator[T]:
    """The frames that can be used; the others are put into ``skipped``, and end nothing."""
    for frame in frames:
        if isinstance(frame, BadFrame):
            skipped.append(frame)
        else:
            yield frame


def skipped_note(skipped: Sequence[BadFrame]) -> str:
    """What to say of the frames that were skipped, and of the last of them why."""
    return f"{len(skipped)} that hold no image skipped ({skipped[-1]})" if skipped else ""


def input_name(path: Path) -> str:
    """What an input is called, as a name of files."""
    return path.stem if path.is_file() else path.resolve().name


def camera_names(topics: Sequence[str]) -> list[str]:
    """What tells the cameras of ``topics`` apart: no name comes twice.

    >>> camera_names(["/front/image_raw", "/front/image_rect", "/rear/image_raw"])
    ['front_image_raw', 'front_image_rect', 'rear']
    """
    short = [camera_name(topic) for topic in topics]
    return distinct([
        name if short.count(name) == 1 else _file_name(topic.strip("/").split("/"))
        for name, topic in zip(short, topics, strict=True)
    ])  # fmt: skip


def camera_name(topic: str) -> str:
    """What the camera of a topic is called, as a name of files.

    >>> camera_name("/front/left/image_raw")
    'front_left'
    """
    parts = [part for part in topic.split("/") if part and part not in ("compressed", "image")]
    return _file_name([part for part in parts if not part.startswith("image_")] or parts) or "camera"


def _file_name(parts: Sequence[str]) -> str:
    return re.sub(r"[^\w-]", "_", "_".join(parts))


def _of_topic(topic: ImageTopic, camera: str) -> Recording:
    frames, names = (lambda: _topic_frames(topic)), (lambda: map(str, topic.stamps()))
    return Recording(topic.path, camera, topic.count, topic.fps, frames, names, topic)


def _topic_frames(topic: ImageTopic) -> Iterator[Frame | BadFrame]:
    decoder = find_decoder()
    for recorded, data in topic.messages():
        try:
            message = topic.deserialize(data)
            rgb, family = compressed_picture(message) if topic.compressed else raw_picture(message, decoder)
        except UserError as error:
            yield BadFrame(str(error))
            continue
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        yield Frame(rgb, stamp, message.header.frame_id, family, recorded=recorded, name=str(stamp))


def _of_video(path: Path) -> Recording:
    video = open_video(path)
    frames, names = (lambda: video.frames(FRAME_ID)), (lambda: map(str, range(video.count)))
    return Recording(path, "", video.count, video.fps, frames, names)


def _of_folder(folder: Path, fps: float) -> Recording:
    files = image_files(folder)
    frames, names = (lambda: _folder_frames(folder, files, fps)), (lambda: (file.stem for file in files))
    return Recording(folder, "", len(files), fps, frames, names)


def _folder_frames(folder: Path, files: Sequence[Path], fps: float) -> Iterator[Frame | BadFrame]:
    """Frames with the stamps of a camera at ``fps`` that begins at 0; a file that holds no image keeps its place."""
    for index, file in enumerate(files):
        stamp = nanoseconds(index / fps)
        try:
            yield Frame(read_rgb(file), stamp, FRAME_ID, "color", recorded=stamp, name=file.stem)
        except UserError as error:
            yield BadFrame(str(error))
    yield from map(BadFrame, passed_over(folder))
