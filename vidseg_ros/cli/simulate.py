"""``vidseg simulate``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import Progress

from vidseg_ros.carla.labels import INTERFACES
from vidseg_ros.cli.common import (
    CONSOLE,
    add_engine_arguments,
    engine_config,
    print_table,
    require_writable_json,
    write_json,
)
from vidseg_ros.closed_loop import CHECKPOINT, KINDS, drive_by_labels, label_source, street
from vidseg_ros.driving.control import Control
from vidseg_ros.engines import Engine, open_model
from vidseg_ros.errors import UserError
from vidseg_ros.schema import camera_size, positive, whole
from vidseg_ros.simulation.drive import DRIVE, Drive
from vidseg_ros.simulation.drive_record import DriveRecord
from vidseg_ros.simulation.street_world import WEATHERS, StreetWorldConfig

SIZE = (DRIVE.width, DRIVE.height)
SECONDS = 20.0
FREE_RUN = 10**9  # frames
EXAMPLE = "vidseg simulate --closed-loop --labels node --seconds 20 --json figures.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--closed-loop", action="store_true", help="drive by labels, without ROS, and judge the driving"
    )
    parser.add_argument("--labels", choices=KINDS, default=KINDS[0], help=f"what to drive by (default: {KINDS[0]})")
    parser.add_argument(
        "--seconds", type=positive("--seconds"), help=f"simulated time (default: {SECONDS:.0f}; endless over ROS)"
    )
    parser.add_argument(
        "--seed", type=whole("--seed", 0), default=DRIVE.seed, help=f"which street (default: {DRIVE.seed})"
    )
    parser.add_argument("--size", type=camera_size, default=SIZE, help="WIDTHxHEIGHT of the camera (default: 480x360)")
    parser.add_argument(
        "--fps", type=positive("--fps"), default=DRIVE.fps, help=f"of the camera (default: {DRIVE.fps:.0f})"
    )
    parser.add_argument("--weather", default=DRIVE.weather, help=f"{', '.join(WEATHERS)} (default: {DRIVE.weather})")
    parser.add_argument("--checkpoint", default=CHECKPOINT, help=f"network of --labels node (default: {CHECKPOINT})")
    parser.add_argument(
        "--role", default="ego_vehicle", help="name of the vehicle on its topics (default: ego_vehicle)"
    )
    parser.add_argument("--interface", choices=INTERFACES, default="bridge", help="encoding of semantic images")
    parser.add_argument("--realtime", action="store_true", help="do not wait for control after each frame")
    add_engine_arguments(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def main(options: Namespace) -> None:
    """Run the verb."""
    if options.seconds is None:
        options.seconds = SECONDS if options.closed_loop else float("inf")
    require_writable_json(options.json)
    config = street(options.seed, options.size, options.fps, options.weather)

    figures = _alone(options, config) if options.closed_loop else _over_ros(options, config)
    print_table("simulation", figures)
    write_json(options.json, figures)


def _alone(options: Namespace, config: StreetWorldConfig) -> dict[str, Any]:
    """Drive headless by labels; no ROS."""

    def open_network() -> Engine:
        return open_model(options.checkpoint, engine_config(options), CONSOLE.print)

    with (
        Progress(console=CONSOLE, transient=True) as bar,
        label_source(options.labels, options.seed, open_network) as by,
    ):
        task = bar.add_task("drive", total=round(options.seconds * config.fps))
        figures = drive_by_labels(by, options.seconds, config, progress=lambda: bar.advance(task))
    return {"labels": options.labels, **figures}


def _over_ros(options: Namespace, config: StreetWorldConfig) -> dict[str, Any]:
    """Publish cameras and take control, until the time is over or the user interrupts."""
    for package in ("rclpy", "nav_msgs", "rosgraph_msgs"):
        if find_spec(package) is None:
            raise UserError(f"{package} is not installed; source your ROS 2 setup.bash, or use --closed-loop")
    # imported here: the closed loop works without ROS
    from vidseg_ros.ros.driving.simulator import StreetSimulatorNode  # noqa: PLC0415
    from vidseg_ros.ros.spin import work  # noqa: PLC0415

    drive, record = Drive(config), DriveRecord()
    frames = round(min(options.seconds * config.fps, FREE_RUN))
    with Progress(console=CONSOLE, transient=True) as bar:
        task = bar.add_task("simulate", total=frames)

        def progress(control: Control) -> None:
            record.add(drive, control)
            bar.advance(task)

        work(
            lambda: StreetSimulatorNode(drive, options.role, options.interface),
            lambda rig: rig.run(frames, not options.realtime, lambda: progress(rig.control)),
            [sys.argv[0]],
        )
    return record.figures(drive)
