"""Drive through the street world by labels: how good they are, and how late, shows in the driving."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.driving.driver import Driver, DriverConfig
from vidseg_ros.driving.ground import GroundCamera
from vidseg_ros.engines import Engine
from vidseg_ros.evaluation.scores import Scores
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.labels import CAMVID, LabelSet, translation
from vidseg_ros.simulation.drive import DRIVE, Drive
from vidseg_ros.simulation.drive_record import DriveRecord
from vidseg_ros.simulation.seeding import seeded_rng
from vidseg_ros.simulation.street_world import StreetWorldConfig, WorldFrame
from vidseg_ros.stream import FrameStream

Ids = NDArray[np.uint8]

CHECKPOINT = "espnet_street"
"""Shipped weights that know the street world."""

KINDS = ("truth", "node", "delayed", "flicker")
DELAY = 0.5  # s
BLOCKS = (10, 8)  # columns and rows of the picture that flicker, each by itself
FLICKER = 0.3  # share of the blocks that are wrong in a frame


class LabelSource(Protocol):
    """Gives the driver its label images."""

    labels: LabelSet

    def look(self, frame: WorldFrame) -> tuple[Ids, float] | None:
        """Ids, uint8 (H, W), and the stamp of the picture that they belong to; None where there are none yet."""


@dataclass
class TrueLabels:
    """The exact labels, ``delay`` seconds late."""

    delay: float = 0.0
    labels: LabelSet = CAMVID
    _waiting: deque[WorldFrame] = field(default_factory=deque)

    def look(self, frame: WorldFrame) -> tuple[Ids, float] | None:
        """The youngest labels that are old enough."""
        self._waiting.append(frame)
        due = None
        while self._waiting and round(frame.stamp - self._waiting[0].stamp, 6) >= self.delay:
            due = self._waiting.popleft()
        return None if due is None else (due.labels, due.stamp)


class FlickeringLabels:
    """The exact labels, but in each frame a ``share`` of the blocks of the picture holds a class drawn by lot."""

    labels = CAMVID

    def __init__(self, seed: int, share: float = FLICKER) -> None:
        self._rng, self._share = seeded_rng(seed), share

    def look(self, frame: WorldFrame) -> tuple[Ids, float] | None:
        """Spoil the labels."""
        size = frame.labels.shape[::-1]
        wrong = self._rng.random(BLOCKS[::-1]) < self._share
        classes = self._rng.integers(0, len(CAMVID), BLOCKS[::-1])
        spoilt, drawn = (
            cv2.resize(plane.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for plane in (wrong, classes)
        )
        return np.where(spoilt > 0, drawn, frame.labels).astype(np.uint8), frame.stamp


class NetworkLabels:
    """What a network says, through the stream that the node runs."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.labels, self._stream = engine, engine.labels, FrameStream(engine)

    def look(self, frame: WorldFrame) -> tuple[Ids, float] | None:
        """Segment the picture."""
        return self._stream.step(frame.rgb, nanoseconds(frame.stamp)), frame.stamp


@contextmanager
def label_source(kind: str, seed: int, open_network: Callable[[], Engine]) -> Iterator[LabelSource]:
    """Open the source of one of KINDS; only ``node`` needs a network."""
    if kind == "node":
        engine = open_network()
        yield NetworkLabels(engine)
        engine.close()
    else:
        yield FlickeringLabels(seed) if kind == "flicker" else TrueLabels(DELAY if kind == "delayed" else 0.0)


def drive_by_labels(
    source: LabelSource,
    seconds: float,
    config: StreetWorldConfig = DRIVE,
    driver: DriverConfig | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Drive for ``seconds`` in lock step with the world, and return the figures of ``vidseg simulate``.

    mIoU and Cons compare the labels that the driver has with the truth at the time when it acts on them: labels that
    come late are wrong.
    """
    drive = Drive(config)
    at_wheel = Driver(source.labels, camera_of(drive), driver or DriverConfig(lane=drive.lane))
    score, known = Scores(source.labels, windows=()), translation(CAMVID, source.labels)
    record = DriveRecord()
    for _ in range(round(seconds * config.fps)):
        frame, speed = drive.frame(), drive.vehicle.speed
        if (seen := source.look(frame)) is not None:
            at_wheel.see(*seen, speed)
            score.add(seen[0], np.take(known, frame.labels))
        control = at_wheel.decide(frame.stamp, speed)
        drive.step(control)
        record.add(drive, control)
        progress()
    return record.figures(drive) | score.report() | {"frames": score.frames}


def camera_of(drive: Drive) -> GroundCamera:
    """Camera of the vehicle as a driver needs it."""
    camera = drive.camera
    return GroundCamera(camera.focal, camera.center, float(camera.place[2]))


def street(seed: int, size: tuple[int, int], fps: float, weather: str) -> StreetWorldConfig:
    """Street of a drive."""
    return replace(DRIVE, seed=seed, width=size[0], height=size[1], fps=fps, weather=weather)
