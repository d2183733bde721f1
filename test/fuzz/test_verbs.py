"""Verbs over files that are whole, damaged or of another kind: exit code 0, or 2 and one line."""

import io
from contextlib import redirect_stderr, redirect_stdout

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st

from test.conftest import tiny_network
from test.fuzz.drawing import COUNTS, damages, fuzz
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.labels import CAMVID

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
    "spawn-carla": ["--sensors", "{other}"],
}
"""All verbs that read files, but for ``demo``, which starts a node each time, and reads the recordings of replay."""


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A checkpoint and a small data set."""
    folder = tmp_path_factory.mktemp("material")
    Checkpoint(tiny_network(), CAMVID).save(folder / "tiny.safetensors")
    pixels = np.random.default_rng(0).integers(0, 11, (16, 24, 3), dtype=np.uint8)
    for inner in ("frames", "labels"):
        (folder / "data" / inner).mkdir(parents=True)
        for number in (30, 32):
            picture = pixels if inner == "frames" else pixels[..., 0]
            cv2.imwrite(str(folder / "data" / inner / f"s_{number:05}.png"), picture)
    return folder


@fuzz(share=0.5, verb=st.sampled_from(sorted(ROLES)), role=st.integers(0, 9), other=st.integers(0, 9), damage=damages())
def test_any_files(material, tmp_path_factory, verb, role, other, damage):
    out = tmp_path_factory.mktemp("out")
    files = [material / "tiny.safetensors", *sorted((material / "data").rglob("*.png"))]
    for file in files:  # copies, one of them damaged
        copy = out / file.relative_to(material)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(damage(file.read_bytes()) if file == files[role % len(files)] else file.read_bytes())
    others = [out / "tiny.safetensors", out / "nothing", out, out / "data/frames/s_00030.png"]
    places = {
        "checkpoint": out / "tiny.safetensors", "other": others[other % len(others)], "data": out / "data",
        "frames": out / "data/frames", "labels": out / "data/labels", "out": out,
    }  # fmt: skip
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        status = main([verb, *(word.format(**places) for word in ROLES[verb])])
    assert status in (0, 2)
    COUNTS["refused"] += status == 2
    assert status == 0 or said.getvalue().count("\n") == 1, said.getvalue()
