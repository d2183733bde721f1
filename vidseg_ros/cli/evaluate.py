"""``vidseg evaluate``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from vidseg_ros.cli.common import (
    CONSOLE,
    MODEL_HELP,
    add_engine_arguments,
    engine_config,
    print_table,
    require_writable_json,
    write_json,
)
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.data.stored import sequences
from vidseg_ros.engines import open_model
from vidseg_ros.engines.registry import engine_of_file
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.labels import LABEL_SETS, find_label_set
from vidseg_ros.schema import image_size, whole
from vidseg_ros.stream import StreamConfig

EXAMPLE = "vidseg evaluate fddwnet_camvid camvid/val --json figures.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", help=MODEL_HELP)
    parser.add_argument(
        "dataset", help="a folder, or its name below $VIDSEG_DATA: CamVid, a split of Cityscapes or recorded scenes"
    )
    add_engine_arguments(parser)
    parser.add_argument("--size", type=image_size, help="WIDTHxHEIGHT of the network input (default: as trained)")
    parser.add_argument(
        "--label-set",
        help=f"judge in these classes, {' or '.join(LABEL_SETS)}; labels are translated (default: the model's)",
    )
    parser.add_argument(
        "--no-temporal", dest="temporal", action="store_false", help="leave out what needs optical flow (TC, ...)"
    )
    parser.add_argument(
        "--stride", type=whole("--stride"), default=1, help="take every STRIDEth frame of a sequence (default: 1)"
    )
    parser.add_argument(
        "--bidirectional", action="store_true", help="the mean of the way forward and the way back; no hysteresis"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def main(options: Namespace) -> None:
    """Run the verb."""
    require_writable_json(options.json)
    how = engine_config(options)
    if options.bidirectional and how.engine == "auto" and engine_of_file(options.checkpoint) is None:
        how = replace(how, engine="torch")
    engine = open_model(options.checkpoint, how, CONSOLE.print)
    labels = find_label_set(options.label_set) if options.label_set else engine.labels
    runs = [run[:: options.stride] for run in sequences(open_dataset(options.dataset, labels))]
    config = StreamConfig(size=options.size)
    with Progress(console=CONSOLE, transient=True) as bar:
        task = bar.add_task("evaluate", total=sum(map(len, runs)))
        report = evaluate(
            engine, runs, config, lambda: bar.advance(task), options.temporal, labels, options.bidirectional
        )
    report |= {"checkpoint": options.checkpoint, "dataset": options.dataset, "stride": options.stride}
    print_table(f"{options.checkpoint} on {options.dataset}", report["per_class"])
    print_table("", {key: value for key, value in report.items() if not isinstance(value, dict)})
    write_json(options.json, report)
