"""``vidseg import-weights``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.cli.common import print_table

EXAMPLE = "vidseg import-weights espnet_p_2_q_8_camvid.pth espnet_camvid.safetensors"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, help="the official .pth or .safetensors file")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")


def main(options: Namespace) -> None:
    """Run the verb."""
    checkpoint = import_weights(options.file)
    checkpoint.save(options.output)
    config = checkpoint.network.config
    parameters = sum(p.numel() for p in checkpoint.network.parameters())
    rows = {"network": config.name, "labels": checkpoint.labels.name, "parameters": f"{parameters:,}"}
    rows |= {"memory": config.cell.position if config.cell else "none", **checkpoint.about}
    print_table(str(options.output), rows)
