"""Writing MCAP bags without ROS (rosbags), so that what was written stays readable whatever happens."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, cast

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import TYPES

FORMAT_VERSION: Literal[9] = 9  # of metadata.yaml, as Jazzy writes it
RESERVE = 32 * 2**20  # bytes: the index of a long bag, and a chunk that a full disk cut


class BagWriter:
    """Writes serialised messages to an MCAP bag; an older bag of this kind in its place is replaced.

    A bag without its index is not readable. A file beside it keeps the room for that, until the bag is closed.
    """

    def __init__(self, path: Path, topics: Mapping[str, str], mark: str, compress: bool = False) -> None:
        """Create the bag folder ``path`` for ``topics`` (name -> message type). Raises UserError.

        compress: with zstd, inside the file; for what is not written in real time. A folder is only replaced where
        the file ``mark`` stands beside it, which says that it was written here.
        """
        self._path, self._reserve = path, path.with_name(f"{path.name}.reserve")
        ours = path.with_name(f"{path.name}.{mark}")
        try:
            if path.exists() and not ours.is_file():
                raise UserError(f"'{path}' is there and was not written by this command; name another --output")
            if path.exists():
                shutil.rmtree(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            ours.touch()
            self._hold_room()
            self._writer = Writer(path, version=FORMAT_VERSION, storage_plugin=StoragePlugin.MCAP)
            if compress:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except (WriterError, OSError) as error:
            self._reserve.unlink(missing_ok=True)
            raise UserError(f"cannot write bag '{path}' ({error}); name a writable folder with --output") from error
        self._connections = {
            topic: self._writer.add_connection(topic, kind, typestore=TYPES) for topic, kind in topics.items()
        }
        self._whole = self._file.tell()  # where the last write that succeeded ended

    def _hold_room(self) -> None:
        with self._reserve.open("wb") as file:
            file.write(bytes(RESERVE))

    def write(self, topic: str, nanoseconds: int, data: bytes | memoryview) -> None:
        """Append one message. Raises UserError where the disk is full; the bag is closed then, and readable."""
        try:
            self._writer.write(self._connections[topic], nanoseconds, data)
            self._whole = self._file.tell()
        except OSError as error:
            self._cut()
            self.close()
            raise self._full(error) from error

    def close(self) -> None:
        """Write the index; closing again does nothing."""
        if self._writer.storage is None:
            return
        self._reserve.unlink(missing_ok=True)
        try:
            self._writer.close()
        except OSError as error:
            raise self._full(error) from error

    @property
    def _file(self) -> BinaryIO:
        """The file that rosbags writes its chunks to."""
        return cast("BinaryIO", self._writer.storage.bio)  # type: ignore[union-attr]

    def _cut(self) -> None:
        """Take back the chunk that did not fit: rosbags still has it whole, and writes it again at closing."""
        self._reserve.unlink(missing_ok=True)
        self._file.seek(self._whole)
        self._file.truncate()

    def _full(self, error: OSError) -> UserError:
        return UserError(
            f"cannot go on writing bag '{self._path}' ({error.strerror}); what is in it can be read; free some space"
        )

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
