"""How fast the real node answers over DDS, and what it costs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from vidseg_ros.benchmark import pictures
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.ros.conversions import to_image
from vidseg_ros.ros.harness.player import Listener, Outcome, Player, Spinner, play
from vidseg_ros.ros.harness.process import Resources, engine_parameters, resources, running_node
from vidseg_ros.ros.harness.sources import MessageSource, make_header

FPS = 15.0  # of the stamps
SAMPLES = 10  # of what the process holds, and of the latency
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class NodeCase:
    """A node with so many cameras; network and cameras have the same size (width, height)."""

    model: str
    config: EngineConfig
    size: tuple[int, int]
    frames: int  # of each camera
    cameras: int = 1
    rate: float | None = None  # Hz of each camera; None sends each image after the labels of the one before


class Monitor(Listener):
    """Watches the node's process while it works."""

    def __init__(self, pid: int, frames: int) -> None:
        self._pid, self._every = pid, max(frames // SAMPLES, 1)
        self._count = 0
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self.held: list[Resources] = []

    def answered(self, output: str, stamp: int, message: Any, data: bytes) -> None:
        """See ``Listener``."""
        self._count += 1
        self._last = time.monotonic(), cpu_seconds(self._pid)
        self._first = self._first or self._last
        if self._count % self._every == 0:
            self.held.append(resources(self._pid))

    @property
    def cpu_percent(self) -> float | None:
        """CPU time from the first answer to the last, of one core's."""
        if self._first is None or self._last == self._first:
            return None
        wall, cpu = (last - first for first, last in zip(self._first, self._last, strict=True))
        return round(100 * cpu / wall, 1)


def cpu_seconds(pid: int) -> float:
    """Return the time that a process has computed, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(case: NodeCase, progress: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Start the node, play a street to each of its cameras and return the figures."""
    namespace = f"/vidseg_benchmark_{os.getpid()}"
    width, height = case.size
    names = [f"camera{number}" for number in range(case.cameras)] if case.cameras > 1 else [""]
    parameters = engine_parameters(case.config) | {
        "model": case.model,
        "cameras": f"[{', '.join(names)}]" if case.cameras > 1 else None,
        "size": f"[{width}, {height}]",
        "diagnostics_period": 0.2,
    }
    with TemporaryDirectory() as folder, running_node(namespace, parameters, Path(folder) / "node.log") as process:
        monitor, spinner = Monitor(process.pid, case.frames * case.cameras), Spinner()
        players = [
            Player(namespace, MessageSource(street(case.size, case.frames), case.frames, FPS), monitor, name, spinner)
            for name in names
        ]
        play(players, process, case.rate, progress)
        for player in players:
            player.close()
    outcomes = [player.outcome for player in players]
    figures = together([outcome.figures() for outcome in outcomes])
    return {
        "engine": case.config.engine,
        "precision": case.config.precision,
        "size": f"{width}x{height}",
        "cameras": case.cameras,
        "rate": case.rate,
        **figures,
        "labels_by_camera": [outcome.labels for outcome in outcomes],
        "transport_ms": _difference(figures, "total_ms"),
        "overhead_percent": _overhead(figures),
        "first_label_s": _first_label(outcomes, process.started),
        "cpu_percent": monitor.cpu_percent,
        "rss_mb": [round(held.rss_mb, 1) for held in monitor.held],
        "threads": [held.threads for held in monitor.held],
        "files": [held.files for held in monitor.held],
        "latency_ms_over_time": over_time([outcome.latency_ms for outcome in outcomes]),
    }


def over_time(latencies: Sequence[Sequence[float]]) -> list[float]:
    """Medians of SAMPLES parts of a run, means over the cameras; none where one has fewer answers."""
    if min(map(len, latencies)) < SAMPLES:
        return []
    parts = zip(*(np.array_split(np.asarray(times), SAMPLES) for times in latencies), strict=True)
    return [round(float(np.mean([np.median(part) for part in each])), 2) for each in parts]


def together(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of several cameras as one: sums of what is counted, means of the percentiles of times."""
    joined: dict[str, Any] = {}
    for name, value in figures[0].items():
        if isinstance(value, dict):
            combine = sum if name == "frames" else _mean
            joined[name] = {key: combine([one[name][key] for one in figures]) for key in value}
        else:
            joined[name] = sum(one[name] for one in figures)
    return joined


def _first_label(outcomes: Sequence[Outcome], start: float) -> float | None:
    """Return after how many seconds a camera was answered, or None."""
    answered = [outcome.first_label for outcome in outcomes if outcome.labels]
    return round(min(answered) - start, 2) if answered else None


def _mean(times: Sequence[float | None]) -> float | None:
    """Return the mean of those cameras that were answered."""
    known = [time for time in times if time is not None]
    return round(sum(known) / len(known), 2) if known else None


def street(size: tuple[int, int], frames: int) -> Iterator[Image]:
    """Yield a short drive again and again; its pictures are made before the first is taken."""
    drive = cycle(pictures(size))
    for index, rgb in enumerate(islice(drive, frames)):
        yield to_image(rgb, "rgb8", make_header(nanoseconds(index / FPS)))


def _difference(figures: dict[str, Any], part: str) -> dict[str, float | None]:
    """Return what of the latency is not ``part``; None where nothing was answered."""
    latency = figures["latency_ms"]
    return {n: None if value is None else round(value - figures[part][n], 2) for n, value in latency.items()}


def _overhead(figures: dict[str, Any]) -> dict[str, float | None]:
    """Return how much of the latency is not the network, in percent."""
    latency = figures["latency_ms"]
    rest = _difference(figures, "model_ms")
    return {n: None if value is None else round(100 * value / latency[n], 1) for n, value in rest.items()}
