"""Run one node until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from vidseg_ros.errors import UserError
from vidseg_ros.ros.transport import use_large_image_transport


def run(
    make: Callable[[], Any],
    name: str,
    arguments: list[str] | None = None,
    begin: Callable[[Any], None] = lambda node: None,
) -> int:
    """Make a node, let it ``begin``, spin it and let it ``finish``; returns the exit code.

    Bad input is one line and exit code 2.
    """
    use_large_image_transport()
    node = None
    try:
        rclpy.init(args=arguments)
        node = make()
        executor = SingleThreadedExecutor()  # before the node speaks: an interrupt while it is made leaves a traceback
        executor.add_node(node)
        begin(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (UserError, ParameterException) as error:
        # a parameter of another type, or out of range
        remedy = "; see 'ros2 param describe'" if isinstance(error, ParameterException) else ""
        rclpy.logging.get_logger(name).fatal(f"cannot start: {error}{remedy}")
        return 2
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # launch sends a second one
        if node is not None:
            node.finish()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
