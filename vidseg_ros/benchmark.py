"""How fast engines are, side by side: one process each, rounds in turn, and the floor of the machine."""

from __future__ import annotations

import copy
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.engines import Engine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.reference import ReferenceEngine
from vidseg_ros.engines.registry import engine_of_file
from vidseg_ros.errors import UserError
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.networks import StreamingNetwork
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

REFERENCE = "reference"
SEQUENCE = 20  # frames over which labels are compared
WARM_UP = 3  # steps before the first round
PRODUCT = 2048  # side of the matrices that measure the floor
COPY_MB = 256
UNTUNED = {"GOMP_SPINCOUNT": "300000"}  # what GCC's OpenMP does unless told; see vidseg_ros/__init__.py


@dataclass(frozen=True)
class Case:
    """One engine at one frame size with so many streams."""

    checkpoint: str
    config: EngineConfig
    size: tuple[int, int]  # (width, height)
    cameras: int = 1
    reference: bool = False  # the yardstick instead of the engine of ``config``
    code: str = ""  # a checkout of this project to run; "" is this one

    @property
    def engine(self) -> str:
        """The name of what runs."""
        if self.reference:
            return REFERENCE
        return self.checkpoint if self.is_file else self.config.engine

    @property
    def is_file(self) -> bool:
        """Whether a file of ``vidseg export`` runs."""
        return engine_of_file(self.checkpoint) is not None

    @property
    def key(self) -> tuple[tuple[int, int], int]:
        """What a case has in common with the reference that it is compared with."""
        return self.size, self.cameras


class Runner:
    """A process that runs one case when told to."""

    def __init__(self, case: Case) -> None:
        context = multiprocessing.get_context("spawn")
        self.case = case
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, case), daemon=True)
        with search_first(case.code), environment(UNTUNED if case.reference else {}):
            self._process.start()
        self.labels = self._answer()
        self.times: list[float] = []

    def round(self, steps: int) -> None:
        """Time so many steps."""
        self._pipe.send(steps)
        self.times += self._answer()

    def finish(self) -> float:
        """End the process; returns its peak memory in MB."""
        self._pipe.send(0)
        peak = self._answer()
        self._process.join()
        return float(peak)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError as error:
            raise UserError(f"engine '{self.case.engine}' ended without an answer; see its error above") from error
        if isinstance(answer, UserError):
            raise answer
        return answer


@contextmanager
def search_first(folder: str) -> Iterator[None]:
    """Let processes that start meanwhile import from ``folder`` first; "" changes nothing."""
    before = list(sys.path)
    sys.path[:0] = [str(Path(folder).resolve())] if folder else []
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let processes that start meanwhile have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, case: Case) -> None:
    """Run in the process of a ``Runner``."""
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


def memory_mb(what: str, process: int | str = "self") -> float:
    """A line of /proc/PROCESS/status in MB: VmHWM is the most memory held so far, VmRSS that held now."""
    status = Path(f"/proc/{process}/status").read_text()  # getrusage counts what was before exec, too
    (line,) = (line for line in status.splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) / 1024


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


def compare(
    cases: Sequence[Case], rounds: int, steps: int, advance: Callable[[str], None] = lambda text: None
) -> list[dict[str, Any]]:
    """Time all cases in turn, ``rounds`` times ``steps`` each; the first case of each size is the yardstick."""
    results: list[dict[str, Any]] = []
    runners: list[Runner] = []
    try:
        for case in cases:
            advance(f"starting {case.engine}")
            runners.append(Runner(case))
        for number in range(rounds):
            for runner in runners:
                advance(f"round {number + 1}/{rounds}: {runner.case.engine}")
                runner.round(steps)
        yardsticks = {runner.case.key: runner for runner in reversed(runners)}
        for runner in runners:
            results.append(_result(runner, yardsticks[runner.case.key]))
    finally:
        for runner in runners:
            runner.kill()
    return results


def _result(runner: Runner, yardstick: Runner) -> dict[str, Any]:
    case, p50 = runner.case, statistics.median(runner.times)
    return {
        "engine": case.engine,
        "code": case.code,
        "device": case.config.device,
        "precision": case.config.precision,
        "memory": case.config.memory,
        "size": "{}x{}".format(*case.size),
        "cameras": case.cameras,
        "ms_p50": round(p50, 3),
        "ms_p95": round(float(np.percentile(runner.times, 95)), 3),
        "ratio": round(statistics.median(yardstick.times) / p50, 3),
        "label_agreement": round(100 * float(np.mean(runner.labels == yardstick.labels)), 5),
        "peak_rss_mb": round(runner.finish(), 1),
    }


def multiply_adds(checkpoint: str, size: tuple[int, int]) -> float:
    """Multiply-adds of one step in units of 10^9, at ``size`` (width, height)."""
    return multiply_adds_of(load_checkpoint(checkpoint).network, size)


def multiply_adds_of(network: StreamingNetwork, size: tuple[int, int]) -> float:
    """The same of a network; it is counted, not computed."""
    width, height = size
    frame = torch.zeros(1, 3, height, width, dtype=torch.uint8, device="meta")
    network = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(frame)
    return float(counter.get_total_flops()) / 2e9


def machine_floor() -> dict[str, float]:
    """Floor of this machine's CPU: GFLOP/s of a float32 matrix product, GB/s of a copy."""
    a, b = torch.rand(PRODUCT, PRODUCT), torch.rand(PRODUCT, PRODUCT)
    source = torch.zeros(COPY_MB << 18)
    target = torch.empty_like(source)
    product = min(_seconds(lambda: torch.mm(a, b)) for _ in range(7))
    copy = min(_seconds(lambda: target.copy_(source)) for _ in range(7))
    return {"gflops": round(2 * PRODUCT**3 / product / 1e9, 1), "copy_gb_s": round(COPY_MB / 1024 / copy, 2)}


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def with_engine(case: Case, text: str) -> Case:
    """Case with the engine ``NAME`` or ``NAME:PRECISION``, or a file of ``vidseg export``."""
    name, _, precision = text.partition(":")
    if name == REFERENCE:
        raise UserError(f"engine '{REFERENCE}' is in every benchmark; name others")
    if engine_of_file(text):
        return replace(case, checkpoint=text, config=replace(case.config, engine="auto", hysteresis=None))
    return replace(case, config=replace(case.config, engine=name, precision=precision or case.config.precision))
