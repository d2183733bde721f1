"""Bags for tests, written by rosbags directly."""

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from vidseg_ros.io.bag_reader import COMPRESSED_TYPE, IMAGE_TYPE, TYPES

HEADER = TYPES.types["std_msgs/msg/Header"]
TIME = TYPES.types["builtin_interfaces/msg/Time"]


def header(nanoseconds, frame_id="optical"):
    return HEADER(stamp=TIME(*divmod(nanoseconds, 10**9)), frame_id=frame_id)


def image(pixels, nanoseconds, encoding="rgb8", frame_id="optical"):
    """Return an Image of uint8 pixels."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    kind = TYPES.types[IMAGE_TYPE]
    return kind(header(nanoseconds, frame_id), height, width, encoding, 0, len(data) // height, data)


def compressed(data, nanoseconds, kind="png"):
    return TYPES.types[COMPRESSED_TYPE](header(nanoseconds), kind, np.frombuffer(data, np.uint8))


def write_bag(path, topics, storage="mcap", compression=None):
    """Write topics, name -> list of (nanoseconds, message); ``compression`` is message, file or storage."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        for topic, messages in topics.items():
            kind = messages[0][1].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            for recorded, message in messages:
                writer.write(connection, recorded, TYPES.serialize_cdr(message, kind))
    return path
