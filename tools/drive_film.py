"""Film two drives side by side: ``python -m tools.drive_film``. Writes docs/driving_film.mp4, and its last picture.

Above is what the driver sees, below, in white, where the labels changed and the truth did not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.drive_figures import Run, source
from vidseg_ros.closed_loop import Ids, LabelSource, drive_by_labels
from vidseg_ros.io.frame import resize
from vidseg_ros.io.pictures import Film, blend
from vidseg_ros.simulation.street_world import WorldFrame

FILM = Path(__file__).resolve().parents[1] / "docs" / "driving_film.mp4"
SHOWN = {"single frame": "single frame", "flow memory + hysteresis": "flow memory and hysteresis"}
SEED, CONDITION, SECONDS, SIZE = 103, "exposure flicker", 5.0, (320, 240)
CAPTION = ((6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)

Picture = NDArray[np.uint8]


@dataclass
class Filmed:
    """Labels of a network, and a picture of each."""

    by: LabelSource
    name: str
    pictures: list[Picture] = field(default_factory=list)
    _before: tuple[Ids, Ids] | None = None

    def __post_init__(self) -> None:
        self.labels = self.by.labels

    def look(self, frame: WorldFrame) -> tuple[Ids, float] | None:
        """Segment the picture, and keep what it looks like."""
        seen = self.by.look(frame)
        if seen is not None:
            before = self._before or (seen[0], frame.labels)
            flicker = ((seen[0] != before[0]) & (frame.labels == before[1])).astype(np.uint8) * 255
            above = blend(frame.rgb, self.labels.colorize(seen[0]))
            self.pictures.append(
                np.vstack([self._titled(above), resize(np.dstack([flicker] * 3), SIZE, cv2.INTER_AREA)])
            )
            self._before = seen[0].copy(), frame.labels
        return seen

    def _titled(self, picture: Picture) -> Picture:
        return np.asarray(cv2.putText(np.ascontiguousarray(resize(picture, SIZE, cv2.INTER_AREA)), self.name, *CAPTION))


def drive(labels: str, title: str) -> list[Picture]:
    """The pictures of one drive."""
    run = Run("film", labels, SEED, CONDITION, seconds=SECONDS)
    filmed = Filmed(source(run), title)
    drive_by_labels(filmed, run.seconds, run.world)
    return filmed.pictures


def main() -> None:
    """Drive by each, and write the film."""
    with Film(FILM, 8.0) as film:
        for pictures in zip(*(drive(labels, title) for labels, title in SHOWN.items()), strict=True):
            film.append(np.hstack(pictures))


if __name__ == "__main__":
    main()
