"""Where executables begin: an interrupt while they import is one line, not a traceback out of some library."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

BY_SIGNAL = 128  # and its number: the exit code, as shells have it
INTERRUPTED, TERMINATED = BY_SIGNAL + signal.SIGINT, BY_SIGNAL + signal.SIGTERM
STDERR = 2
ONE_STOP = 1.0  # seconds in which SIGTERM may come twice: timeout(1) sends it to the process, and to its group
VERB_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def quitting(name: str, signals: Sequence[int] = (signal.SIGINT,)) -> Iterator[None]:
    """End the process at an interrupt, which libraries in C would turn into errors of their own."""
    with handling(signals, lambda number, frame: _quit(name, number)):
        yield


@contextmanager
def handling(signals: Sequence[int], handler: Handler) -> Iterator[None]:
    """Handle ``signals`` in the main thread, but those that are ignored, as in the background of a shell.

    What was set before is put back, unless somebody has set something else since.
    """
    mine = threading.current_thread() is threading.main_thread()  # Python takes handlers there only
    before = {number: signal.getsignal(number) for number in signals if mine}
    felt = {number: earlier for number, earlier in before.items() if earlier != signal.SIG_IGN}
    for number in felt:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in felt.items():
            if signal.getsignal(number) == handler:
                signal.signal(number, earlier)


class Termination:
    """A handler that makes an interrupt of SIGTERM, once for each time that it is meant."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt."""
        before, self._since = self._since, time.monotonic()
        if before is None or self._since - before >= ONE_STOP:
            raise KeyboardInterrupt

    @property
    def came(self) -> bool:
        """Whether the signal came."""
        return self._since is not None


def _quit(name: str, number: int) -> None:
    os.write(STDERR, f"{name} was interrupted\n".encode())
    os._exit(BY_SIGNAL + number)


def _run(name: str, module: str) -> int:
    with quitting(name):  # a node has handlers of its own from its first line on, and puts back what it finds
        main = import_module(f"vidseg_ros.{module}").main
        return main()  # type: ignore[no-any-return]


def vidseg() -> int:
    """Run ``vidseg``."""
    with quitting("vidseg", VERB_SIGNALS):
        main = import_module("vidseg_ros.cli.main").main
    return main()  # type: ignore[no-any-return]


def segmentation() -> int:
    """Run ``segmentation_node``."""
    return _run("segmentation_node", "ros.segmentation.node")


def driver() -> int:
    """Run ``driver_node``."""
    return _run("driver_node", "ros.driving.driver")


def evaluator() -> int:
    """Run ``evaluator_node``."""
    return _run("evaluator_node", "ros.driving.evaluator")
