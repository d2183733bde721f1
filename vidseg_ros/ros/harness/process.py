"""The segmentation node as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
from rclpy.executors import ExternalShutdownException

from vidseg_ros.benchmark import memory_mb
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError
from vidseg_ros.ros.transport import use_large_image_transport


class Resources(NamedTuple):
    """What a process holds."""

    rss_mb: float
    threads: int
    files: int


def resources(pid: int | None = None) -> Resources:
    """What the process ``pid`` holds now, or this one."""
    folder = Path(f"/proc/{pid or os.getpid()}")
    threads, files = (len(list((folder / kind).iterdir())) for kind in ("task", "fd"))
    return Resources(memory_mb("VmRSS", pid or os.getpid()), threads, files)


class NodeProcess:
    """The segmentation node in a process of its own; its messages go to a file."""

    def __init__(self, namespace: str, parameters: dict[str, Any], log: Path) -> None:
        settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        command = [
            sys.executable,
            "-m",
            "vidseg_ros.ros.segmentation.node",
            "--ros-args",
            "-r",
            f"__ns:={namespace}",
            *settings,
        ]
        self._log = log
        self.started = time.monotonic()
        with log.open("w") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def require_alive(self) -> None:
        """Raise UserError with the node's last words where it has ended."""
        if self._process.poll() is not None:
            raise self.problem(f"ended with status {self._process.returncode}")

    def problem(self, what: str) -> UserError:
        """Return the error that quotes the node's last words."""
        words = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        return UserError(f"the node {what}; it said last: {words[-1]} (all of it: {self._log})")

    def stop(self) -> int:
        """Interrupt the node and wait; kill it if it hangs. Returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def engine_parameters(config: EngineConfig) -> dict[str, Any]:
    """What runs the network, as parameters of the node, for its command line; what is None is left out there."""
    warped = None if config.warped is None else int(config.warped)
    return asdict(config) | {"warped": warped, "memory": f"'{config.memory}'"}  # off, unquoted, is no text to ROS


@contextmanager
def running_node(namespace: str, parameters: Mapping[str, Any], log: Path) -> Iterator[NodeProcess]:
    """Start the node, and rclpy here to talk to it; both end with the block. What is "" or None is left as it is."""
    given = {name: value for name, value in parameters.items() if value not in ("", None)}
    use_large_image_transport()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(args=[sys.argv[0]])
    process = NodeProcess(namespace, given, log)
    try:
        yield process
    except ExternalShutdownException:  # SIGTERM
        raise KeyboardInterrupt from None
    finally:
        process.stop()
        rclpy.try_shutdown()
