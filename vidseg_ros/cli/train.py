"""``vidseg train``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.progress import Progress

from vidseg_ros.checkpoint import load_checkpoint
from vidseg_ros.cli.common import CONSOLE
from vidseg_ros.config import TrainConfig, load_yaml
from vidseg_ros.engines.torch import find_device
from vidseg_ros.training.trainer import train

EXAMPLE = "vidseg train config/train/espnet_l1b_camvid.yaml my.safetensors --start espnet_camvid"
LOG_EVERY = 50  # steps


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", type=Path, help="a YAML file as in config/train/")
    parser.add_argument("output", type=Path, help="the .safetensors file to write, saved now and then")
    parser.add_argument("--start", help="a checkpoint whose matching tensors are the first weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--compile", action="store_true", help="use torch.compile (faster; needs a C++ compiler)")


def main(options: Namespace) -> None:
    """Run the verb."""
    config = load_yaml(options.config, TrainConfig)
    device = find_device(options.device)
    start = load_checkpoint(options.start) if options.start else None
    with Progress(console=CONSOLE) as bar:
        tasks = [bar.add_task(f"phase {i + 1}", total=phase.steps) for i, phase in enumerate(config.phases)]

        def report(phase: int, step: int, losses: dict[str, float]) -> None:
            bar.advance(tasks[phase])
            if (step + 1) % LOG_EVERY == 0:
                values = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
                bar.console.print(f"phase {phase + 1}  step {step + 1}  {values}")

        train(config, options.output, start, str(device), report, options.compile)
    CONSOLE.print(f"wrote {options.output}")
