"""``vidseg export``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vidseg_ros.benchmark import pictures
from vidseg_ros.checkpoint import load_checkpoint, require_writable
from vidseg_ros.cli.common import CHECKPOINT_HELP, CONSOLE, image_size
from vidseg_ros.engines.choose import require_installed
from vidseg_ros.engines.export import FORMATS, export
from vidseg_ros.errors import UserError

NEEDS = {"onnx": "onnxruntime", "openvino": "openvino", "torch-export": "torch"}  # format: engine whose runtime it is
EXAMPLE = "vidseg export espnet_l1b_camvid --format onnx segmentation.onnx"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", help=CHECKPOINT_HELP)
    parser.add_argument("output", type=Path, help="file to write; it takes frames, fresh and the state by name")
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument("--size", type=image_size, help="WIDTHxHEIGHT of the frames (default: as trained)")


def main(options: Namespace) -> None:
    """Run the verb."""
    suffix = FORMATS[options.format]
    if options.output.suffix != suffix:
        raise UserError(f"'{options.output}' does not end in {suffix}; name it {options.output.with_suffix(suffix)}")
    require_installed(NEEDS[options.format])
    require_writable(options.output)
    checkpoint = load_checkpoint(options.checkpoint)
    size = options.size or checkpoint.network.config.input.size
    parity = export(checkpoint, options.format, options.output, size, pictures(size))
    CONSOLE.print(
        f"wrote {options.output}: {parity.agreement:.4f} % of the labels as in PyTorch, "
        f"largest relative difference of the state {parity.difference:.1e}"
    )
