"""Opening rosbag2 bags: whole by rosbags; of MCAP files that are cut, what stands before the cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.storage_mcap import McapReader, read_sized

from vidseg_ros.errors import UserError, describe
from vidseg_ros.io.images import natural_order
from vidseg_ros.io.unpacking import Message, PackedMessages, TooLargePart

BAG_SUFFIXES = (".mcap", ".db3", ".db3.zstd", ".mcap.zstd")
METADATA = "metadata.yaml"
MAGIC, HEADER = b"\x89MCAP0\r\n", b"\x01"


class Bag(Protocol):
    """An open bag."""

    connections: list[Connection]

    def messages(self, connections: Collection[Connection]) -> Iterator[Message]:
        """Read the messages of these connections."""


@dataclass
class CutBag:
    """The messages of MCAP files up to where each is cut."""

    files: list[Path]
    connections: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for connection, _, _ in self._scan():
            counts[connection.topic, connection.msgtype] += 1
            if counts[connection.topic, connection.msgtype] == 1:
                self.connections.append(connection)
        self.connections = [c._replace(msgcount=counts[c.topic, c.msgtype]) for c in self.connections]

    def messages(self, connections: Collection[Connection]) -> Iterator[Message]:
        """Read the messages of these connections, in the order of the files."""
        wanted = {(c.topic, c.msgtype) for c in connections}
        return (message for message in self._scan() if (message[0].topic, message[0].msgtype) in wanted)

    def _scan(self) -> Iterator[Message]:
        for file in self.files:
            with suppress(Exception):  # what comes behind the cut
                yield from _records(file)


def _records(file: Path) -> Iterator[Message]:
    """Read an MCAP file from its beginning, without the index at its end. Raises any exception where it is cut."""
    reader = McapReader(file)
    with file.open("rb") as data:
        reader.bio, reader.data_end = data, file.stat().st_size
        if data.read(len(MAGIC)) != MAGIC or data.read(1) != HEADER:
            return
        read_sized(data)
        reader.data_start = data.tell()
        with suppress(Exception):  # the channels before the cut are known then
            reader.meta_scan()
        yield from reader.messages_scan(list(reader.connections))


@contextmanager
def open_bag(path: Path) -> Iterator[tuple[Bag, Exception | None]]:
    """Yield the bag, and what is wrong with it where it is not whole. Raises UserError where nothing can be read."""
    reader: Any = None
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # what a damaged file makes the libraries raise is anybody's guess
        cut = CutBag(_mcap_files(path))
        if not cut.connections:
            raise unreadable(path, error) from error
        yield cut, error
        return
    with closing(reader):
        packed = reader.compression_mode == "message" and hasattr(reader, "storage")  # rosbags 0.10 has none
        yield PackedMessages(reader) if packed else reader, None


def _mcap_files(path: Path) -> list[Path]:
    """The MCAP files of a bag that says which they are, by its metadata or because it is one."""
    if path.is_file():
        return [path] if path.suffix == ".mcap" else []
    return sorted(path.glob("[!.]*.mcap"), key=natural_order) if (path / METADATA).is_file() else []


def unreadable(path: Path, error: Exception) -> UserError:
    """What to say of a bag that cannot be read, or not to its end."""
    if _storage(path) == "":
        return UserError(
            f"cannot read bag '{path}': its {METADATA} names no storage, as 'ros2 bag reindex' leaves it without a "
            f"storage id; run 'ros2 bag reindex -s {_suffix(path)} {path}'"
        )
    if isinstance(error, TooLargePart):
        return UserError(f"cannot read bag '{path}': {error}; record it again, in smaller chunks")
    return UserError(f"cannot read bag '{path}': {describe(error)}; try 'ros2 bag reindex' on it")


def _storage(path: Path) -> object:
    """The storage that the metadata of a bag names; None where they cannot be read."""
    with suppress(Exception):
        return yaml.safe_load((path / METADATA).read_text())["rosbag2_bagfile_information"]["storage_identifier"]
    return None


def _suffix(path: Path) -> str:
    return "mcap" if any(".mcap" in file.name for file in path.iterdir()) else "sqlite3"
