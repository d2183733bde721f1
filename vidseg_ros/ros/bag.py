"""Bags, read and written without ROS (rosbags)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from vidseg_ros.errors import UserError

IMAGE_TYPE, COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TYPESTORE = Stores.ROS2_JAZZY
FORMAT_VERSION: Literal[9] = 9  # of metadata.yaml, as Jazzy writes it


@dataclass(frozen=True)
class ImageTopic:
    """The serialised image messages of one topic of a bag, in order."""

    topic: str
    compressed: bool
    count: int
    fps: float
    messages: Iterator[bytes]


def read_images(path: Path, topic: str = "") -> ImageTopic:
    """Open a rosbag2 folder on its only image topic, or on ``topic``. Raises UserError."""
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # what a damaged file makes the libraries raise is anybody's guess
        raise _unreadable(path, error) from error
    images = [c for c in reader.connections if c.msgtype in {IMAGE_TYPE, COMPRESSED_TYPE}]
    chosen = [c for c in images if topic in {"", c.topic}]
    if len(chosen) != 1:
        here = ", ".join(c.topic for c in images) or "none"
        raise UserError(f"bag '{path}' has {len(chosen)} image topics that fit; name one with --topic (here: {here})")
    connection = chosen[0]
    fps = connection.msgcount / max(reader.duration * 1e-9, 1e-3)
    messages = _messages(path, reader, connection)
    return ImageTopic(connection.topic, connection.msgtype == COMPRESSED_TYPE, connection.msgcount, fps, messages)


def _messages(path: Path, reader: Reader, connection: Connection) -> Iterator[bytes]:
    try:
        for _, _, data in reader.messages([connection]):
            yield bytes(data)
    except Exception as error:
        raise _unreadable(path, error) from error
    finally:
        reader.close()


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"cannot read bag '{path}': {error}; try 'ros2 bag reindex' on it")


class BagWriter:
    """Writes serialised messages to an MCAP bag; an older bag of this kind in its place is replaced."""

    def __init__(self, path: Path, topics: Mapping[str, str], mark: str) -> None:
        """Create the bag folder ``path`` for ``topics`` (name -> message type). Raises UserError.

        A folder is only replaced where the file ``mark`` stands beside it, which says that it was written here.
        """
        typestore = get_typestore(TYPESTORE)
        ours = path.with_name(f"{path.name}.{mark}")
        try:
            if path.exists() and not ours.is_file():
                raise UserError(f"'{path}' is there and was not written by this command; name another --output")
            if path.exists():
                shutil.rmtree(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            ours.touch()
            self._writer = Writer(path, version=FORMAT_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise UserError(f"cannot write bag '{path}' ({error}); name a writable folder with --output") from error
        self._connections = {
            topic: self._writer.add_connection(topic, kind, typestore=typestore) for topic, kind in topics.items()
        }

    def write(self, topic: str, nanoseconds: int, data: bytes) -> None:
        """Append one message."""
        self._writer.write(self._connections[topic], nanoseconds, data)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
