"""``vidseg train``."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from vidseg_ros.checkpoints.checkpoint import find_checkpoint, load_checkpoint
from vidseg_ros.cli.common import CONSOLE
from vidseg_ros.engines.torch import find_device
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_other
from vidseg_ros.schema import WORKERS, load_yaml, whole
from vidseg_ros.training.config import TrainConfig

EXAMPLE = "vidseg train config/train/espnet_l1b_camvid.yaml my.safetensors --weights espnet_camvid"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", type=Path, help="a YAML file as in config/train/")
    parser.add_argument("output", type=Path, help="the .safetensors file to write; its .run folder holds the state")
    parser.add_argument("--weights", help="a checkpoint whose tensors, as far as they fit, are the first weights")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument(
        "--workers", type=whole("--workers", 0, WORKERS), help="processes that draw clips (default: none on a CPU)"
    )
    parser.add_argument("--compile", action="store_true", help="use torch.compile (faster; needs a C++ compiler)")


def main(options: Namespace) -> None:
    """Run the verb."""
    try:
        from vidseg_ros.training.trainer import Hardware, train  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(f"training needs {error.name}; install it with: pip install 'vidseg_ros[train]'") from error
    config = load_yaml(options.config, TrainConfig)
    if config.teacher is not None:
        require_other(options.output, map(find_checkpoint, config.teacher.names))
    device = find_device(options.device)
    workers = options.workers
    if workers is None:
        workers = 0 if device.type == "cpu" else (os.cpu_count() or 1) - 1
    start = load_checkpoint(options.weights) if options.weights else None
    say = partial(CONSOLE.print, soft_wrap=True)
    hardware = Hardware(str(device), workers, options.compile)
    train(config, options.output, start, hardware, say, options.resume)
