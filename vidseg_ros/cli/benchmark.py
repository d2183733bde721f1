"""``vidseg benchmark``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rich.progress import Progress
from rich.table import Table

from vidseg_ros.benchmark import Case, compare, machine_floor, multiply_adds, with_engine
from vidseg_ros.checkpoints.checkpoint import DEFAULT_CHECKPOINT, MEMORIES
from vidseg_ros.cli.common import (
    CHECKPOINT_HELP,
    CONSOLE,
    flatten,
    require_ros,
    require_writable_json,
    write_json,
)
from vidseg_ros.engines import open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError
from vidseg_ros.schema import THREADS, image_size, positive, whole

CAMERAS = 1024  # at most
BENCHMARKS = ("benchmark", "benchmark.py")  # of checkouts since 0.1, and of older ones
ENGINES = "torch,openvino,openvino:bf16"
EXAMPLE = "vidseg benchmark --engines torch,openvino,openvino:bf16 --sizes 1024x512 --json figures.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help=CHECKPOINT_HELP)
    parser.add_argument(
        "--engines",
        default=ENGINES,
        help=f"NAME, NAME:PRECISION or files of vidseg export, by commas (default: {ENGINES})",
    )
    parser.add_argument("--against", type=Path, help="another checkout of this project, whose engines run beside")
    parser.add_argument("--sizes", type=_sizes, default="1024x512", help="WIDTHxHEIGHT, by commas (default: 1024x512)")
    parser.add_argument(
        "--cameras", type=_counts, default="1", help="streams in one batch, or of the node, by commas (default: 1)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument("--memory", default="auto", help=f"auto (as the model says), {', '.join(MEMORIES)}")
    parser.add_argument(
        "--threads", type=whole("--threads", 0, THREADS), default=0, help="of the CPU (default: as the engine sees fit)"
    )
    parser.add_argument("--node", action="store_true", help="time the ROS 2 node over DDS instead, with each engine")
    parser.add_argument(
        "--frames", type=whole("--frames"), default=200, help="with --node: images of each camera (default: 200)"
    )
    parser.add_argument(
        "--rate",
        type=positive("--rate"),
        help="with --node: images a second of each camera (default: after each answer)",
    )
    parser.add_argument("--rounds", type=whole("--rounds"), default=7, help="turns that each engine gets (default: 7)")
    parser.add_argument("--steps", type=whole("--steps"), default=5, help="steps in a turn (default: 5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def main(options: Namespace) -> None:
    """Run the verb."""
    require_writable_json(options.json)
    figures = _node(options) if options.node else _engines(options)
    _print(figures)
    write_json(options.json, figures)


def _node(options: Namespace) -> dict[str, Any]:
    """Time the node."""
    require_ros()
    if options.rate is None and max(options.cameras) > 1:
        raise UserError(f"--cameras is {max(options.cameras)}; several cameras with --node need a --rate, such as 30")
    from vidseg_ros.ros.harness.benchmark import NodeCase, measure  # noqa: PLC0415

    results = []
    with Progress(console=CONSOLE, transient=True) as bar:
        for size, text, cameras in product(options.sizes, options.engines.split(","), options.cameras):
            case = with_engine(_base(options, size, 1), text)
            open_model(case.checkpoint, case.config).close()  # say now what is wrong with it, not in the node
            task = bar.add_task(f"node with {text} at {size[0]}x{size[1]}", total=options.frames)
            node = NodeCase(case.checkpoint, case.config, size, options.frames, cameras, options.rate)
            results.append(measure(node, partial(bar.advance, task)))
    return {"results": results}


def _engines(options: Namespace) -> dict[str, Any]:
    """Time engines against the reference."""
    if options.against and not any((options.against / "vidseg_ros" / name).exists() for name in BENCHMARKS):
        raise UserError(f"--against '{options.against}' is no checkout of vidseg_ros; name its top folder")
    races = [_race(options, size, cameras) for size, cameras in product(options.sizes, options.cameras)]
    figures: dict[str, Any] = {"floor": machine_floor(), "gmacs": {}, "floor_ms": {}, "results": []}
    for size in options.sizes:
        name = "{}x{}".format(*size)
        figures["gmacs"][name] = round(multiply_adds(options.checkpoint, size), 3)
        figures["floor_ms"][name] = round(2e3 * figures["gmacs"][name] / figures["floor"]["gflops"], 2)
    with Progress(console=CONSOLE, transient=True) as bar:
        task = bar.add_task("benchmark", total=None)

        def say(text: str) -> None:
            bar.update(task, description=text)

        for cases in races:
            figures["results"] += compare(cases, options.rounds, options.steps, say)
    return figures


def _base(options: Namespace, size: tuple[int, int], cameras: int) -> Case:
    # the reference has no hysteresis
    tuned = EngineConfig("torch", options.device, options.threads, hysteresis=0.0, memory=options.memory)
    return Case(options.checkpoint, tuned, size, cameras)


def _race(options: Namespace, size: tuple[int, int], cameras: int) -> list[Case]:
    """Return the cases of one size: the reference, untuned, and the engines."""
    base = _base(options, size, cameras)
    reference = replace(base, config=EngineConfig(device=options.device), reference=True)
    mine = [with_engine(base, text) for text in options.engines.split(",")]
    theirs = [replace(case, code=str(options.against)) for case in mine] if options.against else []
    return [reference, *mine, *theirs]


def _sizes(text: str) -> list[tuple[int, int]]:
    return [image_size(part) for part in text.split(",")]


def _counts(text: str) -> list[int]:
    counts = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if not all(0 < count <= CAMERAS for count in counts):
        raise ArgumentTypeError(f"'{text}' are no counts; give numbers above 0, by commas, at most {CAMERAS}")
    return counts


def _print(figures: dict[str, Any]) -> None:
    """Print one column a result."""
    results = [flatten(result) for result in figures["results"]]
    table = Table(title=f"floor {figures['floor_ms']} ms at {figures['floor']}" if "floor" in figures else "")
    rows = [name for name in results[0] if any(result[name] not in ("", None) for result in results)]
    for name in ("", *(str(result["engine"]) for result in results)):
        table.add_column(name)
    for name in rows[1:]:
        table.add_row(name, *(str(result[name]) for result in results))
    CONSOLE.print(table)
