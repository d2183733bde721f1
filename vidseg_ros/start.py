"""Where executables begin: an interrupt while they import is one line, not a traceback out of some library."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

INTERRUPTED = 130  # exit code, as shells have it
STDERR = 2


@contextmanager
def quitting(name: str) -> Iterator[None]:
    """End the process at an interrupt, which libraries in C would turn into errors of their own."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield  # a shell runs it in its background, or Python takes no handler here
        return
    signal.signal(signal.SIGINT, lambda number, frame: _quit(name))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _quit(name: str) -> None:
    os.write(STDERR, f"{name} was interrupted\n".encode())
    os._exit(INTERRUPTED)


def _run(name: str, module: str) -> int:
    with quitting(name):  # a node has handlers of its own from its first line on, and puts back what it finds
        main = import_module(f"vidseg_ros.{module}").main
        return main()  # type: ignore[no-any-return]


def vidseg() -> int:
    """Run ``vidseg``."""
    with quitting("vidseg"):
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
