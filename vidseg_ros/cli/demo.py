"""``vidseg demo``."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from vidseg_ros.cli.common import (
    CONSOLE,
    DEFAULT_MODEL_HELP,
    add_engine_arguments,
    engine_config,
    flatten,
    print_table,
    require_ros,
    require_writable_json,
    write_json,
)
from vidseg_ros.engines import open_model
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_apart
from vidseg_ros.io.frame import DEFAULT_FPS
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.recordings import skipped_note
from vidseg_ros.schema import camera_size, positive, whole
from vidseg_ros.simulation.street_world import StreetWorldConfig

STREET_FRAMES = 150
STREET_SIZE = (StreetWorldConfig.width, StreetWorldConfig.height)
EXAMPLE = "vidseg demo --input drive.mp4 --output demo_output"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--input", type=Path, help="a bag, a video or a folder of images (default: the street world)")
    parser.add_argument("--checkpoint", default="", help=DEFAULT_MODEL_HELP)
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder of the results")
    add_engine_arguments(parser)
    parser.add_argument(
        "--rate", type=positive("--rate"), help="play at this many Hz (default: wait for the answer to each frame)"
    )
    parser.add_argument(
        "--frames", type=whole("--frames"), help=f"play at most this many (default: all; {STREET_FRAMES} of a street)"
    )
    parser.add_argument("--loops", type=whole("--loops"), default=1, help="play --input so many times (default: 1)")
    parser.add_argument(
        "--fps",
        type=positive("--fps"),
        default=DEFAULT_FPS,
        help=f"stamps of a folder's images (default: {DEFAULT_FPS:.0f})",
    )
    parser.add_argument("--topic", default="", help="image topic of a bag that has several")
    parser.add_argument("--seed", type=whole("--seed", 0), default=0, help="which street to drive through (default: 0)")
    parser.add_argument("--size", type=camera_size, default=STREET_SIZE, help="WIDTHxHEIGHT of the street's camera")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def main(options: Namespace) -> None:
    """Run the verb."""
    require_ros()
    inputs = [options.input] if options.input else []
    if options.input and options.input.resolve() == (options.output / "bag").resolve():
        raise UserError(f"--input '{options.input}' is where this demo records; name another --output")
    require_apart(options.output, inputs)
    # say now what is wrong with it, not in the node
    open_model(options.checkpoint, engine_config(options)).close()
    require_writable_json(options.json)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "node.log").touch()
    except OSError as error:
        raise UserError(f"cannot write to '{options.output}' ({error.strerror}); name another --output") from error
    skipped: list[BadFrame] = []
    figures = _play(options, skipped) | {"skipped": len(skipped)}
    if not figures["frames"]["sent"]:
        why = f" ({skipped[-1]})" if skipped else ""
        raise UserError(f"--input '{options.input}' holds no usable frame{why}; record it again")
    shown = {name: figures[name] for name in ("frames", "latency_ms", "model_ms", "resets")}
    print_table("segmentation over DDS", flatten(shown))
    if skipped:
        CONSOLE.print(f"frames of '{options.input}': {skipped_note(skipped)}", soft_wrap=True)
    seen = [name for name in ("demo.mp4", "demo.png") if (options.output / name).is_file()]
    CONSOLE.print(f"results: {options.output}/{', '.join([*seen, 'bag/', 'node.log'])}")
    write_json(options.json, figures)


def _play(options: Namespace, skipped: list[BadFrame]) -> dict[str, Any]:
    """Start the node, play the source to it, and return the figures; what cannot be read is ``skipped``."""
    # imported here: `vidseg` works without ROS
    from vidseg_ros.ros.harness.demo import NAMESPACE, AnswerRecorder  # noqa: PLC0415
    from vidseg_ros.ros.harness.player import Player, play  # noqa: PLC0415
    from vidseg_ros.ros.harness.process import engine_parameters, running_node  # noqa: PLC0415
    from vidseg_ros.ros.harness.sources import first, open_messages, repeat, street_source  # noqa: PLC0415

    if options.input is None:
        source = street_source(options.frames or STREET_FRAMES, options.seed, options.size)
    else:
        laps = (open_messages(options.input, options.fps, options.topic, skipped) for _ in range(options.loops))
        source = repeat([first(lap, options.frames) for lap in laps])
    namespace = f"{NAMESPACE}_{os.getpid()}"
    parameters = engine_parameters(engine_config(options)) | {"model": options.checkpoint}
    parameters |= {"image_transport": "compressed" if source.compressed else "raw", "diagnostics_period": 0.2}
    with running_node(namespace, parameters, options.output / "node.log") as process:
        recorder = AnswerRecorder(namespace, source.fps, options.output)
        with recorder, Progress(console=CONSOLE, transient=True) as bar:
            task = bar.add_task("play", total=source.count)
            player = Player(namespace, source, recorder)
            play([player], process, options.rate, lambda: bar.advance(task))
    if recorder.problem:
        CONSOLE.print(recorder.problem, soft_wrap=True)
    return player.outcome.figures()
