"""Run one node until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException

from vidseg_ros.errors import UserError
from vidseg_ros.ros.transport import use_large_image_transport


def run(make: Callable[[], Any], name: str, arguments: list[str] | None = None) -> int:
    """Spin what ``make`` returns, and let it ``finish``; returns the exit code, 2 after one line for bad input."""
    use_large_image_transport()
    node = None
    try:
        rclpy.init(args=arguments)
        node = make()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (UserError, ParameterException) as error:
        rclpy.logging.get_logger(name).fatal(f"cannot start: {error}")
        return 2
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # launch sends a second one
        if node is not None:
            node.finish()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
