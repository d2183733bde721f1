"""``vidseg export``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.benchmark import pictures
from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.cli.common import CHECKPOINT_HELP, CONSOLE, add_memory_arguments
from vidseg_ros.data.config import AugmentationConfig, SourceConfig
from vidseg_ros.data.mixture import open_source
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.export import export
from vidseg_ros.engines.opening import require_installed
from vidseg_ros.engines.registry import FORMATS, RUNTIMES
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_writable
from vidseg_ros.labels import LabelSet
from vidseg_ros.schema import image_size

CLIPS, CLIP = 60, 4  # that calibrate int8, and their frames
EXAMPLE = "vidseg export espnet_camvid_fast --format onnx segmentation.onnx"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", help=CHECKPOINT_HELP)
    parser.add_argument("output", type=Path, help="file to write; it takes frames, fresh and the state by name")
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument("--size", type=image_size, help="WIDTHxHEIGHT of the frames (default: as trained)")
    add_memory_arguments(parser)
    parser.add_argument(
        "--int8",
        metavar="DATASET",
        help="convolutions in int8 (openvino), calibrated on moving stills of a folder, or one below $VIDSEG_DATA",
    )


def main(options: Namespace) -> None:
    """Run the verb."""
    suffix = RUNTIMES[FORMATS[options.format]].suffix
    if options.output.suffix != suffix:
        raise UserError(f"'{options.output}' does not end in {suffix}; name it {options.output.with_suffix(suffix)}")
    if options.int8 and options.format != "openvino":
        raise UserError(f"--int8 does not go with --format {options.format}; use --format openvino")
    require_installed(FORMATS[options.format])
    if options.int8 and find_spec("nncf") is None:
        raise UserError("--int8 needs nncf; install it with: pip install 'vidseg_ros[int8]'")
    require_writable(options.output)
    checkpoint = load_checkpoint(options.checkpoint)
    size = options.size or checkpoint.network.config.input.size
    clips = calibration(options.int8, size, checkpoint.labels) if options.int8 else []
    asked = {name: getattr(options, name) for name in ("hysteresis", "memory", "warped", "flow")}
    config = EngineConfig(**asked)
    parity = export(checkpoint, options.format, options.output, size, pictures(size), clips, config)
    CONSOLE.print(
        f"wrote {options.output}: {parity.agreement:.4f} % of the labels as in PyTorch, "
        f"largest relative difference of the state {parity.difference:.1e}"
    )


def calibration(dataset: str, size: tuple[int, int], labels: LabelSet) -> list[NDArray[np.uint8]]:
    """Return clips RGB uint8 (T, H, W, 3) over stills of a data set."""
    source = open_source(SourceConfig(dataset), CLIP, size, labels, AugmentationConfig())
    return [source.draw(number, np.random.default_rng(number)).frames for number in range(CLIPS)]
