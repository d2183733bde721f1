"""``vidseg average``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from vidseg_ros.checkpoints.averaging import average
from vidseg_ros.checkpoints.checkpoint import MEMORIES, InferenceConfig, load_checkpoint
from vidseg_ros.cli.common import print_table
from vidseg_ros.files import require_new, require_writable
from vidseg_ros.schema import not_negative

EXAMPLE = "vidseg average first.safetensors second.safetensors mean.safetensors --hysteresis 0.25"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoints", nargs="+", help="trainings from one start; one that is named twice counts twice")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")
    of_first = "which the file asks for where the user does not (default: as the first checkpoint)"
    parser.add_argument("--memory", choices=MEMORIES, help=f"the memory {of_first}")
    parser.add_argument("--hysteresis", type=not_negative("--hysteresis"), help=f"the hysteresis {of_first}")
    parser.add_argument(
        "--gain", type=not_negative("--gain", 1.0), help="the most of the past that the flow memory keeps"
    )


def main(options: Namespace) -> None:
    """Run the verb."""
    require_new(options.output)
    require_writable(options.output)
    mean = average([load_checkpoint(name) for name in options.checkpoints])
    replace(mean, inference=_asked(options, mean.inference)).save(options.output)
    print_table(str(options.output), {"the mean of": f"{len(options.checkpoints)} trainings"})


def _asked(options: Namespace, inference: InferenceConfig) -> InferenceConfig:
    """Inference defaults, as far as the options change them."""
    memory = inference.flow_memory if options.gain is None else replace(inference.flow_memory, gain=options.gain)
    given = {key: value for key in ("memory", "hysteresis") if (value := getattr(options, key)) is not None}
    return replace(inference, flow_memory=memory, **given)
