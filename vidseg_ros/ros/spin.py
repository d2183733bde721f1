"""Run one node until its work is done or it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode

from vidseg_ros.errors import UserError
from vidseg_ros.ros.executor import SHUT_DOWN, EnduringExecutor, RCLError
from vidseg_ros.ros.parameters import usage, warn_of_unknown, warn_of_unknown_qos
from vidseg_ros.ros.transport import use_large_image_transport

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDERR = 2
BAD_INPUT = (UserError, ParameterException, NameValidationException, RCLError)


def work(make: Callable[[], Any], task: Callable[[Any], None], arguments: list[str] | None = None) -> None:
    """Start rclpy and make a node, do its ``task`` until that ends or is interrupted, and let the node ``finish``.

    The node is in an executor, ``node.executor``. Raises UserError, and ParameterException where a parameter is of
    another type or out of range.
    """
    use_large_image_transport()
    node = None
    try:
        _on_signals(_interrupt)
        start_rclpy(arguments)
        executor = EnduringExecutor()  # kept until rclpy is shut down: its signal thread may yet wake it
        node = make()
        warn_of_unknown(node)
        if not isinstance(node, LifecycleNode):  # whose topics come later
            warn_of_unknown_qos(node)
        executor.add_node(node)
        task(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except SHUT_DOWN:
        if rclpy.ok():
            raise
    finally:
        _on_signals(signal.SIG_IGN)  # launch sends a second one
        try:
            if node is not None:
                node.finish()
        finally:
            if node is not None:
                node.destroy_node()
            rclpy.try_shutdown()
            _on_signals(signal.SIG_IGN)  # rclpy has put back what it found


def _on_signals(handler: Any) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    """Interrupt the work, also by SIGTERM, and once only; rclpy calls this beside a handler of its own."""
    _on_signals(signal.SIG_IGN)
    raise KeyboardInterrupt


def start_rclpy(arguments: list[str] | None = None) -> None:
    """Do as ``rclpy.init``. Raises UserError with one line where that prints many."""
    try:
        with _collected_stderr():
            rclpy.init(args=arguments)
    except Exception as error:
        if "log" in str(error):
            raise UserError(f"{error}; set HOME or ROS_LOG_DIR to a folder that can be written") from error
        raise UserError(f"{error}; see the ROS arguments in '--help'") from error


@contextmanager
def _collected_stderr() -> Iterator[None]:
    """Hold back what is written to stderr, by libraries in C, too, and forget it where the block fails."""
    sys.stderr.flush()
    with TemporaryFile() as file:
        kept = os.dup(STDERR)
        os.dup2(file.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
        file.seek(0)
        os.write(STDERR, file.read())


def run(
    make: Callable[[], Any],
    name: str,
    parameters: type[Any],
    arguments: list[str] | None = None,
    begin: Callable[[Any], None] = lambda node: None,
) -> int:
    """Make a node, let it ``begin``, spin it and let it ``finish``; returns the exit code.

    Bad input is one line and exit code 2; ``--help`` names the ``parameters``, a dataclass.
    """
    if _asks_for_help(sys.argv if arguments is None else arguments):
        print(usage(name, parameters))  # noqa: T201
        return 0

    def spin(node: Any) -> None:
        begin(node)
        node.executor.spin()

    try:
        work(make, spin, arguments)
    except BAD_INPUT as error:
        remedy = "; see 'ros2 param describe'" if isinstance(error, ParameterException) else ""
        line = " ".join(f"{error}{remedy}".split())
        rclpy.logging.get_logger(name).fatal(line)
        return 2
    return 0


def _asks_for_help(words: list[str]) -> bool:
    own = words[: words.index("--ros-args")] if "--ros-args" in words else words
    return not {"-h", "--help"}.isdisjoint(own[1:])
