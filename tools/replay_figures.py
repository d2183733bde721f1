"""Measure what docs/replay.md states, into docs/replay_figures.json: a memory off and on, and a long bag.

python -m tools.replay_figures camvid     # needs VIDSEG_DATA; also replay_report.png
python -m tools.replay_figures memories   # needs VIDSEG_DATA; every shipped network, for docs/results.md
python -m tools.replay_figures long       # a bag of 10,000 frames of the street world, at 160x120
python -m tools.replay_figures viewing    # viewing.png alone: needs VIDSEG_DATA, pip install rerun-sdk, and Vulkan
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from vidseg_ros.checkpoints.checkpoint import DEFAULT_CHECKPOINT
from vidseg_ros.data.datasets import find_dataset
from vidseg_ros.io.bag_reader import IMAGE_TYPE, TYPES
from vidseg_ros.io.image_messages import image_data
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

if __name__ == "__main__":  # as ``python tools/replay_figures.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.networks import SHIPPED

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES = DOCS / "replay_figures.json"
MODEL = "espnet_camvid_fast"
FRAMES, SIZE = 10_000, (160, 120)
VIEWED, WINDOW = 20, (1200, 640)  # frames, and the viewer's width and height
SCENES = 100  # frames that are drawn; the bag repeats them there and back
Figures = dict[str, Any]


def replay(*arguments: object, cwd: Path | None = None) -> tuple[float, float]:
    """Run the verb; returns its wall time in seconds and its peak memory in MB."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "vidseg_ros", "replay", *map(str, arguments)], check=True, cwd=cwd)
    return time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def off_and_flow(folder: Path, model: str, *inference: object) -> Figures:
    """What a replay of CamVid val, at 15 Hz, says of a network with its memory off and along the flow."""
    files = {memory: folder / f"memory_{memory}.safetensors" for memory in ("off", "flow")}
    for memory, file in files.items():
        words = ["average", model, str(file), "--memory", memory, *map(str, inference)]
        subprocess.run([sys.executable, "-m", "vidseg_ros", *words], check=True)
    checkpoints = ("--checkpoint", files["off"], "--compare", files["flow"])
    data = ("frames", "--labels", "labels", "--fps", 15)
    replay(*data, *checkpoints, "--output", folder / "out", cwd=find_dataset("camvid/val"))
    metrics: Figures = json.loads((folder / "out/metrics.json").read_text().replace(f"{folder}/", ""))
    return metrics


def camvid(folder: Path) -> Figures:
    """Figures of the default with its memory off and on, with its report's size."""
    metrics, report = off_and_flow(folder, DEFAULT_CHECKPOINT), folder / "out/report.html"
    keys = ("checkpoint", "intervals")
    names = metrics["compare"]["difference"]
    pair = [{key: found[key] for key in (*keys, *names)} for found in (metrics, metrics["compare"])]
    screenshot(report, DOCS / "replay_report.png")
    return {
        "pair": pair,
        "difference": names,
        "verdict": metrics["compare"]["verdict"],
        "frames": metrics["frames"],
        "report_kb": round(report.stat().st_size / 1000),
    }


def memories(folder: Path) -> Figures:
    """What the memory along the flow changes of each shipped network, without hysteresis, with intervals."""
    found = {}
    for name in SHIPPED:
        (folder / name).mkdir()
        found[name] = off_and_flow(folder / name, name, "--hysteresis", 0)["compare"]["difference"]
    return found


def screenshot(page: Path, picture: Path) -> None:
    """Take a picture of the report, where a browser is installed ($BROWSER, or chromium)."""
    browser = os.environ.get("BROWSER", "chromium")
    command = [browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=940,2600"]
    try:
        subprocess.run([*command, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no picture of the report: {error}")


def viewing(folder: Path) -> None:
    """Take a picture of a recorded bag in Rerun ($RERUN, or rerun)."""
    val, picture = find_dataset("camvid/val"), DOCS / "viewing.png"
    replay("frames", "--checkpoint", MODEL, "--frames", VIEWED, "--output", folder, cwd=val)
    bag = folder / "frames/bag/bag.mcap"
    options = ["--headless", "--window-size", "{}x{}".format(*WINDOW), "--hide-welcome-screen"]
    command = [os.environ.get("RERUN", "rerun"), str(bag), *options, "--screenshot-to", str(picture)]
    subprocess.run(command, check=True, env={**os.environ, "RUST_LOG": "error"})  # no messages over the picture
    shown = cv2.imread(str(picture))  # at the scale of a fine screen
    cv2.imwrite(str(picture), cv2.resize(shown, WINDOW, interpolation=cv2.INTER_AREA))


def there_and_back(count: int) -> list[int]:
    """A round trip through ``count`` frames that repeats without a jump."""
    return [*range(count), *range(count - 2, 0, -1)]


def long_bag(path: Path) -> None:
    """Write a bag of FRAMES raw images."""
    world = StreetWorld(StreetWorldConfig(width=SIZE[0], height=SIZE[1]))
    scenes = [world.frame(index).rgb for index in range(SCENES)]
    order = there_and_back(SCENES)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/image", IMAGE_TYPE, typestore=TYPES)
        for index in range(FRAMES):
            stamp = round(index / 15 * 1e9)
            rgb = np.ascontiguousarray(scenes[order[index % len(order)]])
            writer.write(connection, stamp, image_data(rgb, "rgb8", stamp, "camera"))


def long(folder: Path) -> Figures:
    """Frames a second and peak memory of a long bag; the network runs at the size of the frames."""
    long_bag(folder / "bag")
    size = "{}x{}".format(*SIZE)
    options = ("--size", size, "--threads", 1)  # at this size, threads wait for each other more than they work
    seconds, memory = replay(folder / "bag", "--checkpoint", MODEL, *options, "--output", folder / "out")
    metrics = json.loads((folder / "out/metrics.json").read_text())
    return {
        "frames": metrics["frames"],
        "size": size,
        "frames_per_second": round(metrics["frames"] / seconds, 1),
        "peak_mb": round(memory),
        "report_kb": round((folder / "out/report.html").stat().st_size / 1000),
        "threads": 1,
    }


def main() -> None:
    """Measure what is asked for; the other figures stay."""
    if sys.argv[1] == "viewing":
        with tempfile.TemporaryDirectory() as folder:
            viewing(Path(folder))
        return
    measure = {"camvid": camvid, "memories": memories, "long": long}[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        found = {sys.argv[1]: measure(Path(folder))}
    figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    FIGURES.write_text(json.dumps(figures | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
