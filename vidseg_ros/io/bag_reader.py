"""Reading rosbag2 bags without ROS (rosbags): sqlite3 and MCAP, plain and zstd-compressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from vidseg_ros.errors import UserError, describe

IMAGE_TYPE, COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
BAG_SUFFIXES = (".mcap", ".db3", ".db3.zstd", ".mcap.zstd")
TYPES = get_typestore(Stores.ROS2_JAZZY)


@dataclass(frozen=True)
class ImageTopic:
    """One image topic of a bag; ``messages`` may be called again and again."""

    path: Path
    topic: str
    compressed: bool
    count: int
    fps: float

    @property
    def message_type(self) -> str:
        """The type of its messages."""
        return COMPRESSED_TYPE if self.compressed else IMAGE_TYPE

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Read when each message was recorded, nanoseconds, and the message, serialised. Raises UserError.

        Where the bag is damaged, that comes behind what can be read. Without checksums the library leaves messages out
        and says nothing; their number tells.
        """
        read = 0
        try:
            with Reader(self.path) as reader:
                connections = [c for c in reader.connections if (c.topic, c.msgtype) == (self.topic, self.message_type)]
                for read, (_, recorded, data) in enumerate(reader.messages(connections), 1):  # noqa: B007
                    yield recorded, bytes(data)
        except Exception as error:  # what a damaged file makes the libraries raise is anybody's guess
            raise _unreadable(self.path, error) from error
        if read < self.count:
            raise UserError(
                f"bag '{self.path}' is damaged: {read} of {self.count} messages of '{self.topic}' can be read; "
                "record it again"
            )

    def deserialize(self, data: bytes) -> Any:
        """Return the message. Raises UserError where the bytes are none."""
        try:
            return TYPES.deserialize_cdr(data, self.message_type)
        except Exception as error:
            raise UserError(f"a message of '{self.topic}' is damaged ({describe(error)}); record it again") from error


def is_bag(path: Path) -> bool:
    """Tell whether ``path`` is a bag folder, whole or not, or a file of one."""
    folder = path.is_dir() and any(file.name.endswith(BAG_SUFFIXES) for file in path.iterdir())
    return folder or path.name.endswith(BAG_SUFFIXES) or (path / "metadata.yaml").is_file()


def image_topics(path: Path, topics: Sequence[str] = ()) -> list[ImageTopic]:
    """Open a bag on its only image topic, or on ``topics``. Raises UserError, which lists what there is."""
    try:
        with Reader(path) as reader:
            connections, seconds = list(reader.connections), max(reader.duration * 1e-9, 1e-3)
    except Exception as error:
        raise _unreadable(path, error) from error
    images = [c for c in connections if c.msgtype in {IMAGE_TYPE, COMPRESSED_TYPE}]
    if not topics and len(images) == 1:
        topics = [images[0].topic]
    chosen = [next((c for c in images if c.topic == topic), None) for topic in topics]
    found = [c for c in chosen if c is not None]
    if not found or len(found) < len(chosen):
        raise _ambiguous(path, connections, images, [t for t, c in zip(topics, chosen, strict=True) if c is None])
    return [
        ImageTopic(path, c.topic, c.msgtype == COMPRESSED_TYPE, c.msgcount, c.msgcount / seconds or 1.0) for c in found
    ]


def _ambiguous(
    path: Path, connections: Sequence[Connection], images: Sequence[Connection], missing: Sequence[str]
) -> UserError:
    if not images:
        here = ", ".join(f"{c.topic} ({c.msgtype})" for c in connections) or "nothing at all"
        return UserError(f"bag '{path}' has no image topic; record one (here: {here})")
    here = ", ".join(c.topic for c in images)
    if missing:
        return UserError(f"bag '{path}' has no image topic '{missing[0]}'; name one with --topic (here: {here})")
    return UserError(f"bag '{path}' has {len(images)} image topics; name one with --topic (here: {here})")


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"cannot read bag '{path}': {describe(error)}; try 'ros2 bag reindex' on it")
