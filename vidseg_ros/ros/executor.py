"""An executor that nothing from outside ends: messages, requests and signals come as they like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.exceptions import InvalidHandle, NotInitializedException
from rclpy.executors import ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.service import Service

from vidseg_ros.errors import describe

RCLError: type[Exception] = rclpy_implementation.RCLError
SHUT_DOWN = (RCLError, InvalidHandle, NotInitializedException)
"""What calls of rclpy raise once a signal has shut it down."""
WARN_PERIOD = 5.0  # seconds between two logs of failing callbacks


class EnduringExecutor(SingleThreadedExecutor):
    """Logs what a callback raises, and goes on; a request whose callback fails is answered by an empty response."""

    def add_node(self, node: Node) -> bool:
        """Add a node, whose services will answer any request."""
        for service in node.services:
            if not isinstance(service.callback, partial):  # added before
                service.callback = partial(answer, node, service, service.callback)
        return bool(super().add_node(node))

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and execute it."""
        try:
            handler, entity, node = self.wait_for_ready_callbacks(timeout_sec)
        except (ShutdownException, TimeoutException):
            return
        handler()
        if (error := handler.exception()) is not None and self.context.ok():
            log_failure(node, f"a callback of {name_of(entity)}", error)


def answer(node: Node, service: Service, callback: Callable[[Any, Any], Any], request: Any, response: Any) -> Any:
    """Return what the ``callback`` of a service answers, or the empty response where it fails: no success."""
    try:
        return callback(request, response)
    except Exception as error:
        if not node.context.ok():
            raise
        log_failure(node, f"a request to {service.service_name}", error)
        return service.srv_type.Response()


def log_failure(node: Node | None, what: str, error: Exception) -> None:
    """Say in one line that something failed."""
    logger = node.get_logger() if node else get_logger("executor")
    logger.error(f"{what} failed: {describe(error)}", throttle_duration_sec=WARN_PERIOD)


def name_of(entity: Any) -> str:
    """Topic or service of what an executor serves, or its kind."""
    names = (getattr(entity, name, None) for name in ("topic_name", "service_name", "srv_name"))
    return next((f"'{name}'" for name in names if name), f"a {type(entity).__name__.lower()}")
