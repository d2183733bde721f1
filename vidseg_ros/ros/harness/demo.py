"""Record what the node answers: a bag, a film and a picture."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from vidseg_ros.io.bag_reader import IMAGE_TYPE
from vidseg_ros.io.bag_writer import BagWriter
from vidseg_ros.ros.harness.film import DemoFilm
from vidseg_ros.ros.harness.player import Listener

NAMESPACE = "/vidseg_demo"  # followed by the number of the process


class AnswerRecorder(Listener):
    """Writes ``bag/``, ``demo.mp4`` and ``demo.png`` to a folder."""

    outputs = ("label", "color", "overlay")

    def __init__(self, namespace: str, fps: float, output: Path) -> None:
        self._topics = {name: f"{namespace}/segmentation/{name}" for name in self.outputs}
        self._bag = BagWriter(output / "bag", dict.fromkeys(self._topics.values(), IMAGE_TYPE), "vidseg_demo")
        self._film = DemoFilm(output / "demo.mp4", fps)

    @property
    def problem(self) -> str:
        """Why there is no film, or ""."""
        return self._film.problem

    def sent(self, stamp: int, message: Any) -> None:
        """See ``Listener``."""
        self._film.expect(stamp, message)

    def answered(self, output: str, stamp: int, message: Any, data: bytes) -> None:
        """See ``Listener``."""
        self._bag.write(self._topics[output], stamp, data)
        if output == "color":
            self._film.show(stamp, message)

    def __enter__(self) -> AnswerRecorder:
        self._bag.__enter__()
        self._film.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._film.__exit__(kind, error, trace)
        self._bag.__exit__(kind, error, trace)
