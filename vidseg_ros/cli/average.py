"""``vidseg average``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vidseg_ros.checkpoints.averaging import average
from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.cli.common import print_table
from vidseg_ros.files import require_new, require_writable

EXAMPLE = "vidseg average first.safetensors second.safetensors mean.safetensors"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoints", nargs="+", help="trainings from one start; one that is named twice counts twice")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")


def main(options: Namespace) -> None:
    """Run the verb."""
    require_new(options.output)
    require_writable(options.output)
    average([load_checkpoint(name) for name in options.checkpoints]).save(options.output)
    print_table(str(options.output), {"the mean of": f"{len(options.checkpoints)} trainings"})
