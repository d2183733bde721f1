"""What the demo plays: image messages from a bag, a video, a folder or the street world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vidseg_ros.errors import describe
from vidseg_ros.io.bag_reader import ImageTopic
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.recordings import FRAME_ID, open_recordings, usable
from vidseg_ros.ros.conversions import to_image
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig


@dataclass(frozen=True)
class MessageSource:
    """Image messages in order, how many there are, and how many a second."""

    messages: Iterator[Image] | Iterator[CompressedImage]
    count: int
    fps: float
    compressed: bool = False


def open_messages(path: Path, fps: float, topic: str, skipped: list[BadFrame]) -> MessageSource:
    """Open a bag folder, a folder of images (at ``fps``) or a video file. Raises UserError.

    What cannot be read is ``skipped``; what can, and holds no image, is for the node to reject.
    """
    (recording,) = open_recordings(path, [topic] if topic else [], fps)
    if recording.topic is not None:
        images = recording.topic
        return MessageSource(usable(_as_recorded(images), skipped), images.count, images.fps, images.compressed)
    frames = ((frame.rgb, frame.stamp) for frame in usable(recording.frames(), skipped))
    return _from_frames(frames, recording.count, recording.fps)


def _as_recorded(images: ImageTopic) -> Iterator[Any]:
    """The messages of a topic; a BadFrame stands for one that is damaged."""
    kind = CompressedImage if images.compressed else Image
    for _, data in images.messages():
        try:
            images.deserialize(data)  # says less than the libraries in C, which print lines of their own
            message = deserialize_message(data, kind)
        except Exception as error:
            yield BadFrame(describe(error))
        else:
            yield message


def _from_frames(frames: Iterator[tuple[NDArray[np.uint8], int]], count: int, fps: float) -> MessageSource:
    return MessageSource((to_image(rgb, "rgb8", make_header(stamp)) for rgb, stamp in frames), count, fps)


def street_source(frames: int, seed: int, size: tuple[int, int]) -> MessageSource:
    """Drive through the built-in street world with a camera of (width, height) ``size``."""
    config = StreetWorldConfig(width=size[0], height=size[1], seed=seed)
    world = StreetWorld(config)
    drive = (world.frame(index) for index in range(frames))
    return _from_frames(((frame.rgb, nanoseconds(frame.stamp)) for frame in drive), frames, config.fps)


def first(source: MessageSource, frames: int | None) -> MessageSource:
    """Keep the first ``frames`` messages; None keeps all."""
    if frames is None:
        return source
    return replace(source, messages=islice(source.messages, frames), count=min(source.count, frames))


def repeat(sources: Sequence[MessageSource]) -> MessageSource:
    """Play sources of one kind one after another, as a player that loops does: stamps jump back between them."""
    messages = chain.from_iterable(source.messages for source in sources)
    return replace(sources[0], messages=messages, count=sum(source.count for source in sources))


def make_header(stamp: int) -> Header:
    """A header with the ``stamp`` in nanoseconds."""
    header = Header(frame_id=FRAME_ID)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
    return header
