"""``vidseg record-carla``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import Progress

from vidseg_ros.carla.recorder import CameraConfig, Recorder, SceneFailedError
from vidseg_ros.carla.scenario import FPS, TOWNS, Scene, scenes
from vidseg_ros.carla.server import PORT_STEP, Server, load_api
from vidseg_ros.cli.carla_options import add_server, address
from vidseg_ros.cli.common import CONSOLE
from vidseg_ros.schema import WORKERS, camera_size, positive, whole

SIZE = (CameraConfig.width, CameraConfig.height)
EXAMPLE = "vidseg record-carla recordings --towns Town01,Town05 --workers 2"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("output", type=Path, help="folder of the scenes; those that it holds are not recorded again")
    parser.add_argument("--towns", default=",".join(TOWNS), help="names with commas (default: all five of the paper)")
    parser.add_argument("--scenes", type=whole("--scenes"), help="record at most this many (default: all)")
    add_server(parser, "of the servers", "first server")
    parser.add_argument(
        "--workers",
        type=whole("--workers", most=WORKERS),
        default=1,
        help=f"servers to record from, {PORT_STEP} ports apart (default: 1)",
    )
    parser.add_argument("--size", type=camera_size, default=SIZE, help="WIDTHxHEIGHT (default: {}x{})".format(*SIZE))
    parser.add_argument(
        "--fov", type=positive("--fov", most=179), default=CameraConfig.fov, help="angle of view, degrees (default: 90)"
    )
    parser.add_argument("--seed", type=whole("--seed", 0), default=0, help="of traffic and starting times (default: 0)")


def main(options: Namespace) -> None:
    """Run the verb."""
    wanted = scenes([town for town in options.towns.split(",") if town])[: options.scenes]
    width, height = options.size
    camera = CameraConfig(width, height, options.fov)
    api, first = load_api(), address(options)
    with Progress(console=CONSOLE) as bar:
        task = bar.add_task("record", total=len(wanted))

        def work(number: int) -> int:
            server = Server(api, first.of_worker(number), FPS, options.seed)
            try:
                recorder = Recorder(server, options.output, camera, options.seed)
                return record_all(recorder, wanted[number :: options.workers], lambda: bar.advance(task))
            finally:
                server.close()

        with ThreadPoolExecutor(options.workers) as pool:
            recorded = sum(pool.map(work, range(options.workers)))
    CONSOLE.print(f"{recorded} scenes recorded in '{options.output}'")


def record_all(recorder: Recorder, wanted: list[Scene], progress: Callable[[], None]) -> int:
    """Record what is missing; a scene that fails is named and passed over. Returns how many were recorded."""
    recorded = 0
    for scene in wanted:
        try:
            recorded += recorder.record(scene)
        except SceneFailedError as error:
            CONSOLE.print(f"skipped {scene.name}: {error}; run again to try it once more")
        progress()
    return recorded
