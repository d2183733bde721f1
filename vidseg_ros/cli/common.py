"""What several verbs share."""

from __future__ import annotations

import json
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vidseg_ros.checkpoints.checkpoint import DEFAULT_CHECKPOINT, MEMORIES, find_checkpoint
from vidseg_ros.engines.config import ENGINES, EngineConfig
from vidseg_ros.engines.registry import PRECISIONS, parts_of
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_other, require_writable, write_atomic
from vidseg_ros.flow.estimator import AUTO, DIS, PRESETS
from vidseg_ros.schema import THREADS, from_dict, not_negative, whole

OUTPUTS = ("output", "json")  # options that name what a verb writes
CONSOLE = Console(highlight=False)
CHECKPOINT_HELP = "a .safetensors file, or the name of weights that ship with the package"
MODEL_HELP = f"{CHECKPOINT_HELP}, or a file of vidseg export (.onnx, .xml, .trt)"
DEFAULT_MODEL_HELP = f"{MODEL_HELP} (default: {DEFAULT_CHECKPOINT})"


def add_engine_arguments(parser: ArgumentParser) -> None:
    """Declare what runs the network."""
    default = EngineConfig()
    parser.add_argument("--engine", default=default.engine, help=f"{', '.join(ENGINES)} (default: {default.engine})")
    parser.add_argument("--device", default=default.device, help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument(
        "--threads",
        type=whole("threads", 0, THREADS),
        default=default.threads,
        help="of the CPU (default: as the engine likes)",
    )
    parser.add_argument("--precision", default=default.precision, help=f"{', '.join(PRECISIONS)} (default: f32)")
    add_memory_arguments(parser)


def add_memory_arguments(parser: ArgumentParser) -> None:
    """Declare ``--memory``, ``--warped``, ``--flow`` and ``--hysteresis``."""
    kinds = "; ".join(f"{name}: {text}" for name, text in MEMORIES.items())
    parser.add_argument("--memory", default="auto", help=f"what is remembered; {kinds} (default: the model's)")
    parser.add_argument(
        "--warped",
        action=BooleanOptionalAction,
        help="move what a ConvLSTM and the hysteresis remember along the optical flow (default: the model's)",
    )
    parser.add_argument(
        "--flow",
        default=AUTO,
        metavar="NAME",
        help=f"what estimates that flow: {', '.join(DIS + preset for preset in PRESETS)} or FILE.onnx of a network "
        "(default: the model's)",
    )
    text = "logits by which a new label must beat the last (default: the model's)"
    parser.add_argument("--hysteresis", type=not_negative("hysteresis"), help=text)


def engine_config(options: Namespace) -> EngineConfig:
    """Return what ``add_engine_arguments`` asked for."""
    return from_dict(EngineConfig, {item.name: getattr(options, item.name) for item in fields(EngineConfig)})


def require_ros() -> None:
    """Raise UserError where rclpy is missing."""
    if find_spec("rclpy") is None:
        raise UserError("rclpy is not installed; source your ROS 2 setup.bash or pip install 'vidseg_ros[ros]'")


def require_other_outputs(options: Namespace) -> None:
    """Raise UserError where a file that a verb is to write is one that another of its options names.

    Folders must be further apart than that: ``require_apart``.
    """
    for output in OUTPUTS:
        others = [value for option, value in vars(options).items() if option != output]
        if isinstance(path := getattr(options, output, None), Path) and not path.is_dir():
            for file in parts_of(path):
                require_other(file, _files(others))


def _files(value: object) -> Iterator[Path]:
    """The files that the value of an option may mean, a shipped checkpoint by its name among them."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _files(item)
    elif value and isinstance(value, str | Path):
        for name in {str(value), *str(value).split(",")}:  # engines of a benchmark stand between commas
            yield from (*parts_of(Path(name)), find_checkpoint(name))


def require_writable_json(path: Path | None) -> None:
    """Say before the work that its figures could not be written."""
    if path is not None:
        require_writable(path)


def write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the figures of a verb to the file the user named, if any."""
    if path is not None:
        write_atomic(path, (json.dumps(figures, indent=2) + "\n").encode())


def flatten(figures: Mapping[str, Any]) -> dict[str, object]:
    """Return nested figures as one table: names joined by a space."""
    flat: dict[str, object] = {}
    for name, value in figures.items():
        inner = flatten(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{name} {key}".strip(): item for key, item in inner.items()}
    return flat


def print_table(title: str, rows: Mapping[str, object]) -> None:
    """Print names and values."""
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, str(value))
    CONSOLE.print(table)
