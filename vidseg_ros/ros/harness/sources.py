"""What the demo plays: image messages from a bag, a video, a folder or the street world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import image_topics, is_bag
from vidseg_ros.io.video import Video, read_folder, read_video
from vidseg_ros.ros.conversions import to_image
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

FRAME_ID = "camera"


@dataclass(frozen=True)
class Source:
    """Image messages in order, how many there are, and how many a second."""

    messages: Iterator[Image] | Iterator[CompressedImage]
    count: int
    fps: float
    compressed: bool = False


def open_source(path: Path, fps: float, topic: str) -> Source:
    """Open a bag folder, a folder of images (at ``fps``) or a video file. Raises UserError."""
    if not path.exists():
        raise UserError(f"input '{path}' does not exist; name a bag, a video or a folder of images")
    if is_bag(path):
        return _from_bag(path, topic)
    return _from_video(read_video(path) if path.is_file() else read_folder(path, fps))


def _from_bag(path: Path, topic: str) -> Source:
    (images,) = image_topics(path, [topic] if topic else [])
    kind = CompressedImage if images.compressed else Image
    messages = (deserialize_message(data, kind) for _, data in images.messages())
    return Source(messages, images.count, images.fps, images.compressed)


def _from_video(video: Video) -> Source:
    messages = (to_image(rgb, "rgb8", make_header(index / video.fps)) for index, rgb in enumerate(video.frames))
    return Source(messages, video.count, video.fps)


def street_source(frames: int, seed: int, size: tuple[int, int]) -> Source:
    """Drive through the built-in street world with a camera of (width, height) ``size``."""
    config = StreetWorldConfig(width=size[0], height=size[1], seed=seed)
    world = StreetWorld(config)
    return _from_video(Video((world.frame(index).rgb for index in range(frames)), frames, config.fps))


def first(source: Source, frames: int | None) -> Source:
    """Keep the first ``frames`` messages; None keeps all."""
    if frames is None:
        return source
    return replace(source, messages=islice(source.messages, frames), count=min(source.count, frames))


def repeat(sources: Sequence[Source]) -> Source:
    """Play sources of one kind one after another, as a player that loops does: stamps jump back between them."""
    messages = chain.from_iterable(source.messages for source in sources)
    return replace(sources[0], messages=messages, count=sum(source.count for source in sources))


def make_header(seconds: float) -> Header:
    """Return a header with the stamp ``seconds``."""
    header = Header(frame_id=FRAME_ID)
    header.stamp.sec, header.stamp.nanosec = divmod(round(seconds * 1e9), 10**9)
    return header
