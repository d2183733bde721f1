"""``vidseg simulate``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.progress import Progress

from vidseg_ros.checkpoint import load_checkpoint
from vidseg_ros.cli.common import (
    CONSOLE,
    add_engine_arguments,
    engine_config,
    image_size,
    print_table,
    require_writable_json,
    write_json,
)
from vidseg_ros.closed_loop import KINDS, drive_by_labels, label_source, street
from vidseg_ros.config import require_positive
from vidseg_ros.engines import Engine, open_engine
from vidseg_ros.simulation.drive import DRIVE
from vidseg_ros.simulation.street_world import WEATHERS

SIZE = (DRIVE.width, DRIVE.height)
SECONDS = 20.0
EXAMPLE = "vidseg simulate --closed-loop --labels node --seconds 20 --json figures.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--closed-loop", action="store_true", help="drive by labels, without ROS, and judge the driving"
    )
    parser.add_argument("--labels", choices=KINDS, default=KINDS[0], help=f"what to drive by (default: {KINDS[0]})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"simulated time (default: {SECONDS:.0f})")
    parser.add_argument("--seed", type=int, default=DRIVE.seed, help=f"which street (default: {DRIVE.seed})")
    parser.add_argument("--size", type=image_size, default=SIZE, help="WIDTHxHEIGHT of the camera (default: 480x360)")
    parser.add_argument("--fps", type=float, default=DRIVE.fps, help=f"of the camera (default: {DRIVE.fps:.0f})")
    parser.add_argument("--weather", default=DRIVE.weather, help=f"{', '.join(WEATHERS)} (default: {DRIVE.weather})")
    parser.add_argument(
        "--checkpoint", default="", help="network of --labels node (default: the weights of the package)"
    )
    add_engine_arguments(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def main(options: Namespace) -> None:
    """Run the verb."""
    require_positive(**{"--seconds": options.seconds})
    require_writable_json(options.json)
    config = street(options.seed, options.size, options.fps, options.weather)

    def open_network() -> Engine:
        return open_engine(load_checkpoint(options.checkpoint), engine_config(options), CONSOLE.print)

    with (
        Progress(console=CONSOLE, transient=True) as bar,
        label_source(options.labels, options.seed, open_network) as by,
    ):
        task = bar.add_task("drive", total=round(options.seconds * config.fps))
        figures = drive_by_labels(by, options.seconds, config, progress=lambda: bar.advance(task))
    figures |= {"labels": options.labels}
    print_table(f"driven by labels: {options.labels}", figures)
    write_json(options.json, figures)
