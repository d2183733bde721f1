"""What is replayed: the cameras of bags, videos and folders of images, a frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import ImageTopic, image_topics, is_bag
from vidseg_ros.io.image_messages import BadFrame, compressed_to_rgb, encoding_family, find_decoder, image_to_rgb
from vidseg_ros.io.images import image_files
from vidseg_ros.io.video import read_folder, read_video

FRAME_ID = "camera"  # of videos and folders, which name none


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame: RGB uint8 (H, W, 3), its ``stamp`` and when it was recorded, nanoseconds.

    name: of the file that it comes from, without suffix; the number of the frame in a video; its stamp in a bag.
    """

    rgb: NDArray[np.uint8]
    stamp: int
    recorded: int
    frame_id: str
    encoding: str
    name: str


@dataclass(frozen=True)
class Recording:
    """The frames of one camera. ``shots`` begins anew each time; a BadFrame stands where no frame could be read.

    camera: "" for the only one of its input.
    """

    path: Path
    camera: str
    count: int
    fps: float
    shots: Callable[[], Iterator[Shot | BadFrame]]
    bag: Path | None = None


def open_recordings(path: Path, topics: Sequence[str], fps: float) -> list[Recording]:
    """Open a bag (its only camera, or all ``topics``), a video, or a folder of images at ``fps``. Raises UserError."""
    if not path.exists():
        raise UserError(f"input '{path}' does not exist; name a bag, a video or a folder of images")
    if is_bag(path):
        found = image_topics(path, topics)
        return [_of_topic(topic, camera_name(topic.topic) if len(found) > 1 else "") for topic in found]
    if path.is_file():
        video = read_video(path)
        return [Recording(path, "", video.count, video.fps, lambda: _video_shots(path))]
    return [Recording(path, "", len(image_files(path)), fps, lambda: _folder_shots(path, fps))]


def camera_name(topic: str) -> str:
    """Return what tells cameras apart: ``/front/left/image_raw`` is front_left."""
    parts = [part for part in topic.split("/") if part and part not in ("compressed", "image")]
    named = [part for part in parts if not part.startswith("image_")] or parts
    return "_".join(named) or "camera"


def _of_topic(topic: ImageTopic, camera: str) -> Recording:
    return Recording(topic.path, camera, topic.count, topic.fps, lambda: _topic_shots(topic), topic.path)


def _topic_shots(topic: ImageTopic) -> Iterator[Shot | BadFrame]:
    decoder = find_decoder()
    for recorded, data in topic.messages():
        try:
            message = topic.deserialize(data)
            rgb = compressed_to_rgb(message) if topic.compressed else image_to_rgb(message, decoder)
        except UserError as error:
            yield BadFrame(str(error))
            continue
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        kind = "compressed" if topic.compressed else encoding_family(message.encoding)
        yield Shot(rgb, stamp, recorded, message.header.frame_id, kind, str(stamp))


def _video_shots(path: Path) -> Iterator[Shot]:
    video = read_video(path)
    for index, rgb in enumerate(video.frames):
        yield _numbered(rgb, index, video.fps, str(index))


def _folder_shots(folder: Path, fps: float) -> Iterator[Shot]:
    names = [file.stem for file in image_files(folder)]
    for index, (rgb, name) in enumerate(zip(read_folder(folder, fps).frames, names, strict=True)):
        yield _numbered(rgb, index, fps, name)


def _numbered(rgb: NDArray[np.uint8], index: int, fps: float, name: str) -> Shot:
    stamp = round(index / fps * 1e9)
    return Shot(rgb, stamp, stamp, FRAME_ID, "color", name)
