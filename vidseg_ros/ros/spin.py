"""Run one node until its work is done or it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException

from vidseg_ros.errors import UserError
from vidseg_ros.ros.executor import EnduringExecutor
from vidseg_ros.ros.transport import use_large_image_transport


def work(make: Callable[[], Any], task: Callable[[Any], None], arguments: list[str] | None = None) -> None:
    """Start rclpy and make a node, do its ``task`` until that ends or is interrupted, and let the node ``finish``.

    Raises UserError, and ParameterException where a parameter is of another type or out of range.
    """
    use_large_image_transport()
    node = None
    try:
        rclpy.init(args=arguments)
        node = make()
        task(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # launch sends a second one
        try:
            if node is not None:
                node.finish()
        finally:
            if node is not None:
                node.destroy_node()
            rclpy.try_shutdown()


def run(
    make: Callable[[], Any],
    name: str,
    arguments: list[str] | None = None,
    begin: Callable[[Any], None] = lambda node: None,
) -> int:
    """Make a node, let it ``begin``, spin it and let it ``finish``; returns the exit code.

    Bad input is one line and exit code 2.
    """

    def spin(node: Any) -> None:
        executor = EnduringExecutor()  # before the node speaks: an interrupt while it is made leaves a traceback
        executor.add_node(node)
        kept.append(executor)
        begin(node)
        executor.spin()

    kept: list[Any] = []  # until rclpy is shut down: its signal thread may yet wake the executor after an interrupt
    try:
        work(make, spin, arguments)
    except (UserError, ParameterException) as error:
        remedy = "; see 'ros2 param describe'" if isinstance(error, ParameterException) else ""
        rclpy.logging.get_logger(name).fatal(f"{error}{remedy}")
        return 2
    return 0
