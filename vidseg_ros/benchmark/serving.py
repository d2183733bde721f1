"""What the process of a ``Runner`` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.benchmark.case import Case
from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.engines import Engine, open_model
from vidseg_ros.engines.reference import ReferenceEngine
from vidseg_ros.errors import UserError
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

SEQUENCE = 20  # frames over which labels are compared
WARM_UP = 3  # steps before the first round


def serve(pipe: Connection, case: Case) -> None:
    """Answer a ``Runner``: labels, then times in ms of so many steps as it asks for, and peak memory in MB at last."""
    try:
        engine = _open(case)
        frames = pictures(case.size)
        pipe.send(_labels(engine, frames))
        batch = [np.stack([frames[(i + k) % len(frames)] for k in range(case.cameras)]) for i in range(len(frames))]
        streams = _Streams(engine, case.cameras)
        for i in range(WARM_UP):
            streams.step(batch[i])
        while steps := pipe.recv():
            times = []
            for i in range(steps):
                start = time.perf_counter()
                streams.step(batch[i % len(batch)])
                times.append(1e3 * (time.perf_counter() - start))
            pipe.send(times)
        pipe.send(memory_mb("VmHWM"))
    except UserError as error:
        pipe.send(error)


class _Streams:
    """Streams that take their steps together, with the flow where the engine wants it."""

    def __init__(self, engine: Engine, cameras: int) -> None:
        self._engine = engine
        self._states: list[Any] = [None] * cameras
        self._estimate = open_flow(engine.flow) if engine.flow else None
        self._before: NDArray[np.uint8] | None = None

    def step(self, batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels (N, H, W) of one frame of each; the reference takes them one after another."""
        flow = None
        if self._estimate is not None:
            before = batch if self._before is None else self._before
            flow = np.stack([self._estimate(now, then) for now, then in zip(batch, before, strict=True)])
            self._before = batch
        if isinstance(self._engine, ReferenceEngine):
            steps = [self._engine.step(batch[i : i + 1], [state]) for i, state in enumerate(self._states)]
            self._states = [states[0] for _, states in steps]
            return np.concatenate([prediction.labels for prediction, _ in steps])
        prediction, self._states = self._engine.step(batch, self._states, flow=flow)
        return prediction.labels


def _open(case: Case) -> Engine:
    if case.reference:
        return ReferenceEngine(load_checkpoint(case.checkpoint), case.config)
    return open_model(case.checkpoint, case.config)


def _labels(engine: Engine, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Labels of a stateful sequence of one stream, (frames, H, W)."""
    stream = _Streams(engine, 1)
    return np.concatenate([stream.step(frame[None]).copy() for frame in frames])


def pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """A drive through the street world."""
    world = StreetWorld(StreetWorldConfig(*size))
    return [world.frame(number).rgb for number in range(SEQUENCE)]


def memory_mb(what: str, process: int | str = "self") -> float:
    """A line of /proc/PROCESS/status in MB: VmHWM is the most memory held so far, VmRSS that held now."""
    status = Path(f"/proc/{process}/status").read_text()  # getrusage counts what was before exec, too
    (line,) = (line for line in status.splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) / 1024
