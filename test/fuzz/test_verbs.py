"""Verbs over files that are whole, damaged or of another kind: exit code 0, or 2 and one line."""

import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st

from test.conftest import tiny_network
from test.fuzz.drawing import COUNTS, damages, fuzz
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID

SENSORS = Path(__file__).parents[2] / "config/carla_sensors.json"
ONCE, SHORT = ["--rounds", "1", "--steps", "1"], ["--seconds", "0.1", "--size", "48x32"]
ROLES = {
    "average": ["{checkpoint}", "{other}", "{out}/a.safetensors"],
    "import-weights": ["{other}", "{out}/a.safetensors"],
    "evaluate": ["{checkpoint}", "{data}", "--no-temporal", "--threads", "1", "--engine", "torch"],
    "replay": [
        "{frames}",
        "--checkpoint",
        "{checkpoint}",
        "--labels",
        "{labels}",
        "--output",
        "{out}/r",
        "--threads",
        "1",
    ],
    "pseudo-label": ["{frames}", "--teacher", "{checkpoint}", "--scales", "1", "--no-flip", "--output", "{out}/p"],
    "train": ["{other}", "{out}/t.safetensors", "--weights", "{checkpoint}", "--workers", "0"],
    "export": ["{checkpoint}", "{out}/e.pt2", "--format", "torch-export", "--size", "15x1"],
    "benchmark": ["--checkpoint", "{other}", "--engines", "torch", "--sizes", "16x16", *ONCE, "--json", "{out}/b.json"],
    "simulate": ["--closed-loop", "--labels", "node", "--checkpoint", "{other}", "--engine", "torch", *SHORT],
    "spawn-carla": ["--sensors", "{sensors}"],
    "demo": ["--input", "{frames}", "--checkpoint", "{checkpoint}", "--output", "{out}/d", "--engine", "torch"],
}
"""All verbs that read files; ``record-carla`` reads none."""


def nothing_there(*_):
    raise UserError("it is not started here; its files were read")


@pytest.fixture
def alone(monkeypatch):
    """Neither a node nor a simulator is started: what verbs read before stays."""
    monkeypatch.setattr("vidseg_ros.cli.spawn_carla.load_api", nothing_there)
    if find_spec("rclpy") is not None:
        monkeypatch.setattr("vidseg_ros.ros.harness.process.running_node", nothing_there)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A checkpoint and a small data set."""
    folder = tmp_path_factory.mktemp("material")
    Checkpoint(tiny_network(), CAMVID).save(folder / "tiny.safetensors")
    pixels = np.random.default_rng(0).integers(0, 11, (16, 24, 3), dtype=np.uint8)
    shutil.copy(SENSORS, folder / "sensors.json")
    for inner in ("frames", "labels"):
        (folder / "data" / inner).mkdir(parents=True)
        for number in (30, 32):
            picture = pixels if inner == "frames" else pixels[..., 0]
            cv2.imwrite(str(folder / "data" / inner / f"s_{number:05}.png"), picture)
    return folder


@fuzz(share=0.5, verb=st.sampled_from(sorted(ROLES)), role=st.integers(0, 9), other=st.integers(0, 9), damage=damages())
def test_any_files(material, alone, tmp_path_factory, verb, role, other, damage):
    out = tmp_path_factory.mktemp("out")
    files = [material / "tiny.safetensors", material / "sensors.json", *sorted((material / "data").rglob("*.png"))]
    for file in files:  # copies, one of them damaged
        copy = out / file.relative_to(material)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(damage(file.read_bytes()) if file == files[role % len(files)] else file.read_bytes())
    others = [out / "tiny.safetensors", out / "nothing", out, out / "data/frames/s_00030.png"]
    places = {
        "checkpoint": out / "tiny.safetensors", "other": others[other % len(others)], "data": out / "data",
        "frames": out / "data/frames", "labels": out / "data/labels", "out": out,
        "sensors": out / "sensors.json",
    }  # fmt: skip
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        status = main([verb, *(word.format(**places) for word in ROLES[verb])])
    assert status in (0, 2)
    COUNTS["refused"] += status == 2
    assert status == 0 or said.getvalue().count("\n") == 1, said.getvalue()


@pytest.mark.parametrize("verb", ["demo", "spawn-carla"])
def test_whole_files_are_read_to_the_point_of_starting(verb, material, alone, tmp_path, capsys):
    if verb == "demo":
        pytest.importorskip("rclpy")
    places = {
        "frames": material / "data/frames", "checkpoint": material / "tiny.safetensors",
        "sensors": material / "sensors.json", "out": tmp_path,
    }  # fmt: skip
    assert main([verb, *(word.format(**places) for word in ROLES[verb])]) == 2
    assert "its files were read" in capsys.readouterr().err
