"""What a replay leaves of a recording: a bag, a film."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.io.bag_reader import IMAGE_TYPE
from vidseg_ros.io.bag_writer import BagWriter
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import image_data
from vidseg_ros.io.pictures import Film, blend
from vidseg_ros.labels import LabelSet

NODES = ("segmentation", "compare")  # names of the topics of the checkpoint, and of the one beside it
OUTPUTS = {"label": "mono8", "color": "rgb8", "overlay": "rgb8"}  # and their encodings
MARK = "vidseg_replay"


class Outputs:
    """Writes ``folder``/bag and ``folder``/film.mp4: the frame, and the overlay of each checkpoint."""

    def __init__(self, folder: Path, camera: str, fps: float, labels: LabelSet, checkpoints: int) -> None:
        prefix = f"{camera}/" if camera else ""
        self._topics = [{name: f"/{node}/{prefix}{name}" for name in OUTPUTS} for node in NODES[:checkpoints]]
        self._labels = labels
        names = {topic: IMAGE_TYPE for topics in self._topics for topic in topics.values()}
        self._bag = BagWriter(folder / "bag", names, MARK, compress=True)
        self._film = Film(folder / "film.mp4", fps)
        self._stack = ExitStack()

    def write(self, frame: Frame, answers: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Record the labels of each checkpoint, ids uint8 (H, W); returns their overlays."""
        overlays = []
        for topics, labels in zip(self._topics, answers, strict=True):
            color = self._labels.colorize(labels)
            overlays.append(blend(frame.rgb, color))
            for name, pixels in (("label", labels), ("color", color), ("overlay", overlays[-1])):
                data = image_data(pixels, OUTPUTS[name], frame.stamp, frame.frame_id)
                self._bag.write(topics[name], frame.recorded, data)
        self._film.append(np.hstack([frame.rgb, *overlays]))
        return overlays

    @property
    def problem(self) -> str:
        """What went wrong with what only serves looking, or ""."""
        return self._film.problem

    def __enter__(self) -> Outputs:
        self._stack.enter_context(self._bag)
        self._stack.enter_context(self._film)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
