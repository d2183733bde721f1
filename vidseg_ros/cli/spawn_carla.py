"""``vidseg spawn-carla``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vidseg_ros.carla.ego import ego, read_vehicle, tick
from vidseg_ros.carla.server import Server, load_api
from vidseg_ros.cli.carla_options import add_server, address
from vidseg_ros.cli.common import CONSOLE
from vidseg_ros.schema import positive, whole

STEP = 0.05  # s
EXAMPLE = "vidseg spawn-carla --town Town01 --sensors config/carla_sensors.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add_server(parser, "of the server, started with --ros2")
    parser.add_argument("--town", default="Town01", help="map to load (default: Town01)")
    parser.add_argument("--vehicles", type=whole("--vehicles", 0), default=0, help="of the traffic (default: 0)")
    parser.add_argument(
        "--role", default="ego_vehicle", help="name of the vehicle on its topics (default: ego_vehicle)"
    )
    parser.add_argument("--sensors", type=Path, required=True, help="JSON file with the vehicle and its sensors")
    parser.add_argument(
        "--fixed-delta-seconds",
        type=positive("--fixed-delta-seconds"),
        default=STEP,
        help=f"length of a step (default: {STEP})",
    )
    parser.add_argument("--seed", type=whole("--seed", 0), default=0, help="of the traffic (default: 0)")


def main(options: Namespace) -> None:
    """Run the verb."""
    definition = read_vehicle(options.sensors)
    server = Server(load_api(), address(options), 1 / options.fixed_delta_seconds, options.seed)
    try:
        server.load(options.town, options.vehicles)
        with ego(server, definition, options.role) as vehicle:
            CONSOLE.print(f"{options.role} drives in {options.town}; Ctrl-C takes it away")
            tick(server, vehicle, lambda: True)
    finally:
        server.close()
