"""Bounds of what the compressed parts of a bag unpack to: rosbags takes whatever comes out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
from rosbags.interfaces import Connection
from rosbags.rosbag2 import storage_mcap

Message = tuple[Connection, int, bytes]
Unpack = Callable[[bytes, int], bytes]

LARGEST_PART = 2**30
"""Bytes of a chunk or a message, unpacked: more than any image has; what claims, or comes to, more takes no memory."""


class TooLargePart(Exception):  # noqa: N818 - it is the part that is too large
    """A part of a bag that is not unpacked."""

    def __init__(self, what: str) -> None:
        super().__init__(f"a part of it {what} more than {LARGEST_PART} bytes")


def first_bytes(make: Callable[[], Any]) -> Unpack:
    """What unpacks one frame by a decompressor, up to so many bytes; one byte more tells that there are more."""
    return lambda data, most: bytes(make().decompress(data, max_length=most + 1))


def believing_none(unpack: Unpack) -> Unpack:
    """What unpacks chunks whose headers claim how large they are; rosbags compares that with what comes out."""

    def unpack_chunk(data: bytes, claimed: int) -> bytes:
        if claimed > LARGEST_PART:
            raise TooLargePart("claims to unpack to")
        return unpack(data, claimed)

    return unpack_chunk


ZSTD: Unpack = storage_mcap.DECOMPRESSORS["zstd"]
if hasattr(storage_mcap, "zstd"):  # rosbags 0.10 has another library, and tells it the size
    ZSTD = first_bytes(storage_mcap.zstd.ZstdDecompressor)
storage_mcap.DECOMPRESSORS.update(zstd=believing_none(ZSTD), lz4=believing_none(first_bytes(LZ4FrameDecompressor)))


class PackedMessages:
    """An open bag whose messages are compressed one by one; they are unpacked here."""

    def __init__(self, reader: Any) -> None:
        self.connections: list[Connection] = reader.connections
        self._reader = reader
        reader.storage.metadata = reader.storage.metadata._replace(compression_mode=None)

    def messages(self, connections: Collection[Connection]) -> Iterator[Message]:
        """Read the messages of these connections."""
        for connection, recorded, data in self._reader.messages(connections):
            message = ZSTD(data, LARGEST_PART)
            if len(message) > LARGEST_PART:
                raise TooLargePart("unpacks to")
            yield connection, recorded, message
