"""Many inputs: one after another, over processes, or over machines with Ray."""

from __future__ import annotations

import multiprocessing
import signal
from _thread import interrupt_main
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread

from vidseg_ros.errors import UserError, describe
from vidseg_ros.files import distinct
from vidseg_ros.io.recordings import input_name
from vidseg_ros.replay.config import ReplayConfig
from vidseg_ros.replay.job import run_input

ATTEMPTS = 3  # for an input whose worker dies
SPAWN = multiprocessing.get_context("spawn")
STOPPED = signal.SIGUSR1  # within a worker; comes from nobody else


@dataclass(frozen=True)
class Job:
    """One input, and the folder of its results."""

    path: Path
    folder: Path
    config: ReplayConfig

    def run(self, progress: Callable[[], None] = lambda: None) -> str:
        """Do it; returns what is wrong with the input, or ""."""
        try:
            run_input(self.path, self.folder, self.config, progress)
        except (UserError, OSError) as error:  # a broken bag, a full disk: the others go on
            return describe(error)
        return ""


def plan(inputs: Sequence[Path], output: Path, config: ReplayConfig) -> list[Job]:
    """Give each input a folder below ``output`` with its name, and a number where names repeat."""
    names = distinct([input_name(path) for path in inputs])
    return [Job(path, output / name, config) for path, name in zip(inputs, names, strict=True)]


def run_here(jobs: Sequence[Job], progress: Callable[[], None]) -> Iterator[tuple[Job, str]]:
    """Do one after another; yields each with its problem. ``progress`` is called after each frame."""
    for job in jobs:
        yield job, job.run(progress)


def run_over_processes(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, str]]:
    """Do up to ``workers`` at a time, each in a process of its own; an interrupt of this process interrupts them."""
    stop = SPAWN.Event()
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(_in_process, job, stop): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except (KeyboardInterrupt, GeneratorExit):
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _in_process(job: Job, stop: Event) -> str:
    """Do a job in a new process; one that dies (out of memory, killed) is done again, from where it stood."""
    for _ in range(ATTEMPTS):
        if stop.is_set():
            raise KeyboardInterrupt
        with ProcessPoolExecutor(1, SPAWN, _obey, (stop,)) as pool:
            try:
                return pool.submit(job.run).result()
            except BrokenProcessPool:
                continue
    return f"the process for '{job.path}' died {ATTEMPTS} times; is there enough memory?"


def _obey(stop: Event) -> None:
    """Let this process be interrupted by ``stop`` alone: signals often come to all processes of a group at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(STOPPED, signal.default_int_handler)
    Thread(target=_interrupt_at, args=(stop,), daemon=True).start()


def _interrupt_at(stop: Event) -> None:
    stop.wait()
    interrupt_main(STOPPED)


def run_over_machines(jobs: Sequence[Job], address: str) -> Iterator[tuple[Job, str]]:
    """Do all on the Ray cluster at ``address``; inputs and output must have the same paths on all machines.

    Raises UserError where Ray is missing or not there.
    """
    if find_spec("ray") is None:
        raise UserError("--ray needs Ray; install it with: pip install 'vidseg_ros[ray]'")
    import ray  # noqa: PLC0415 - optional

    terminated = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
        with suppress(ValueError):  # not in the main thread, where nothing was changed
            signal.signal(signal.SIGTERM, terminated)  # Ray would end the process at once, without a report
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at '{address}' ({error}); start one with 'ray start --head'"
        ) from error
    try:
        task = ray.remote(max_retries=ATTEMPTS - 1)(Job.run)
        waiting = {task.remote(job): job for job in jobs}
        while waiting:
            (done,), _ = ray.wait(list(waiting))
            yield waiting.pop(done), _result(ray, done)
    finally:
        ray.shutdown()


def _result(ray: object, done: object) -> str:
    try:
        return str(ray.get(done))  # type: ignore[attr-defined]
    except ray.exceptions.WorkerCrashedError:  # type: ignore[attr-defined]
        return f"its worker died {ATTEMPTS} times; is there enough memory?"
