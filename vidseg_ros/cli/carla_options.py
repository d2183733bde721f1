"""What the verbs of CARLA have in common."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from vidseg_ros.carla.server import RPC_PORT, TRAFFIC_PORT, Address
from vidseg_ros.schema import PORTS, whole


def add_server(parser: ArgumentParser, host: str, which: str = "server") -> None:
    """Declare where a server listens; ``host`` and ``which`` are words of the help."""
    parser.add_argument("--host", default="localhost", help=f"{host} (default: localhost)")
    parser.add_argument(
        "--port", type=whole("--port", most=PORTS), default=RPC_PORT, help=f"of the {which} (default: {RPC_PORT})"
    )
    parser.add_argument(
        "--traffic-port",
        type=whole("--traffic-port", most=PORTS),
        default=TRAFFIC_PORT,
        help=f"default: {TRAFFIC_PORT}",
    )


def address(options: Namespace) -> Address:
    """Where the server listens."""
    return Address(options.host, options.port, options.traffic_port)
