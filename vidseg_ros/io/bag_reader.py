"""Reading rosbag2 bags without ROS (rosbags): sqlite3 and MCAP, plain and zstd-compressed."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from vidseg_ros.errors import UserError, describe
from vidseg_ros.io.bag_files import BAG_SUFFIXES, METADATA, open_bag, unreadable
from vidseg_ros.io.frame import DEFAULT_FPS, frame_rate
from vidseg_ros.io.images import is_hidden, read_file

IMAGE_TYPE, COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TYPES = get_typestore(Stores.ROS2_JAZZY)
ROS1 = b"#ROSBAG"  # begins a bag of ROS 1
RATED = 100  # messages at the beginning of a topic that tell its rate
STAMP_START, STAMP_END = 4, 12  # of a serialised message that begins with a header, behind its encapsulation


@dataclass(frozen=True)
class ImageTopic:
    """One image topic of a bag; ``messages`` may be called again and again."""

    path: Path
    topic: str
    compressed: bool
    count: int

    @property
    def message_type(self) -> str:
        """The type of its messages."""
        return COMPRESSED_TYPE if self.compressed else IMAGE_TYPE

    def messages(self) -> Generator[tuple[int, bytes], None, None]:
        """Read when each message was recorded, nanoseconds, and the message, serialised. Raises UserError.

        Where the bag is damaged, that comes behind what can be read. Without checksums the library leaves messages out
        and says nothing; their number tells.
        """
        read = 0
        try:
            with open_bag(self.path) as (bag, problem):
                connections = [c for c in bag.connections if (c.topic, c.msgtype) == (self.topic, self.message_type)]
                for read, (_, recorded, data) in enumerate(bag.messages(connections), 1):  # noqa: B007
                    yield recorded, bytes(data)
        except UserError:
            raise
        except Exception as error:  # what a damaged file makes the libraries raise is anybody's guess
            raise unreadable(self.path, error) from error
        if problem:
            raise unreadable(self.path, problem)
        if read < self.count:
            raise UserError(
                f"bag '{self.path}' is damaged: {read} of {self.count} messages of '{self.topic}' can be read; "
                "record it again"
            )

    def stamps(self) -> Iterator[int]:
        """Read the stamp of each message, nanoseconds; those that are cut short have none. Raises UserError."""
        return (header_stamp(data) for _, data in self.messages() if len(data) >= STAMP_END)

    @cached_property
    def fps(self) -> float:
        """Messages a second, by their own stamps; by the times of recording where those do not rise."""
        with closing(self.messages()) as messages:
            first: list[tuple[int, bytes]] = []
            with suppress(UserError):  # a damaged bag is named when it is read
                first.extend(entry for entry in islice(messages, RATED) if len(entry[1]) >= STAMP_END)
        stamps, recorded = [header_stamp(data) for _, data in first], [time for time, _ in first]
        return frame_rate(stamps) or frame_rate(recorded) or DEFAULT_FPS

    def deserialize(self, data: bytes) -> Any:
        """Return the message. Raises UserError where the bytes are none."""
        try:
            return TYPES.deserialize_cdr(data, self.message_type)
        except Exception as error:
            raise UserError(f"a message of '{self.topic}' is damaged ({describe(error)}); record it again") from error


def is_bag(path: Path) -> bool:
    """Tell whether ``path`` is a bag folder, whole or not, or a file of one."""
    folder = path.is_dir() and any(f.name.endswith(BAG_SUFFIXES) and not is_hidden(f) for f in path.iterdir())
    return folder or path.name.endswith(BAG_SUFFIXES) or (path / METADATA).is_file()


def require_no_ros1_bag(path: Path) -> None:
    """Raise UserError where ``path`` is a bag of ROS 1."""
    if path.is_file() and path.suffix == ".bag" and read_file(path, len(ROS1)) == ROS1:
        target = path.with_suffix("")
        raise UserError(f"'{path}' is a ROS 1 bag; convert it: rosbags-convert --src {path} --dst {target}")


def image_topics(path: Path, topics: Sequence[str] = ()) -> list[ImageTopic]:
    """Open a bag on its only image topic, or on ``topics``, once each. Raises UserError, which lists what there is."""
    with open_bag(path) as (bag, _):
        connections = list(bag.connections)
    images = _by_topic(path, connections)
    chosen = list(dict.fromkeys(topics)) or (list(images) if len(images) == 1 else [])
    missing = [topic for topic in chosen if topic not in images]
    if missing or not chosen:
        raise _ambiguous(path, connections, list(images), missing)
    return [images[topic] for topic in chosen]


def _by_topic(path: Path, connections: Sequence[Connection]) -> dict[str, ImageTopic]:
    """The image topics of a bag by their names: each publisher, and each file of the bag, may have its own count."""
    images: dict[str, ImageTopic] = {}
    for c in connections:
        if c.msgtype in {IMAGE_TYPE, COMPRESSED_TYPE}:
            known = images.get(c.topic, ImageTopic(path, c.topic, c.msgtype == COMPRESSED_TYPE, 0))
            more = c.msgcount if c.msgtype == known.message_type else 0
            images[c.topic] = replace(known, count=known.count + more)
    return images


def header_stamp(data: bytes) -> int:
    """The stamp, nanoseconds, of a serialised message (CDR) that begins with a header and has STAMP_END bytes."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, STAMP_START)
    return int(seconds * 10**9 + nanoseconds)


def _ambiguous(
    path: Path, connections: Sequence[Connection], images: Sequence[str], missing: Sequence[str]
) -> UserError:
    if not images:
        here = ", ".join(f"{c.topic} ({c.msgtype})" for c in connections) or "nothing at all"
        return UserError(f"bag '{path}' has no image topic; record one (here: {here})")
    here = ", ".join(images)
    if missing:
        return UserError(f"bag '{path}' has no image topic '{missing[0]}'; name one with --topic (here: {here})")
    return UserError(f"bag '{path}' has {len(images)} image topics; name one with --topic (here: {here})")
