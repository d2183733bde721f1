"""``vidseg evaluate``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.progress import Progress

from vidseg_ros.checkpoint import load_checkpoint
from vidseg_ros.cli.common import CONSOLE, print_table, require_writable_json, write_json
from vidseg_ros.data.camvid import camvid_frames, find_dataset, sequences
from vidseg_ros.engines import TorchEngine
from vidseg_ros.errors import UserError
from vidseg_ros.evaluation import evaluate
from vidseg_ros.labels import CAMVID

EXAMPLE = "vidseg evaluate espnet_l1b_camvid camvid/val --json figures.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", help="a .safetensors file, or the name of weights that ship with the package")
    parser.add_argument("dataset", help="a folder with frames/ and labels/, or its name below $VIDSEG_DATA")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def main(options: Namespace) -> None:
    """Run the verb."""
    require_writable_json(options.json)
    checkpoint = load_checkpoint(options.checkpoint)
    if checkpoint.labels.names != CAMVID.names:
        raise UserError(
            f"the checkpoint knows '{checkpoint.labels.name}' labels, the data has '{CAMVID.name}'; name another"
        )
    engine = TorchEngine(checkpoint, options.device)
    frames = camvid_frames(find_dataset(options.dataset))
    with Progress(console=CONSOLE, transient=True) as bar:
        task = bar.add_task("evaluate", total=len(frames))
        report = evaluate(engine, sequences(frames), progress=lambda: bar.advance(task))
    report |= {"checkpoint": options.checkpoint, "dataset": options.dataset}
    print_table(f"{options.checkpoint} on {options.dataset}", report["per_class"])
    print_table("", {key: value for key, value in report.items() if key != "per_class"})
    write_json(options.json, report)
