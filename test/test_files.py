"""Files that cannot be written are named, and so are those whose names are no text."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from test.io.test_videos import write_video
from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic, writing

STRANGE = os.fsdecode(b"caf\xe9")  # Latin-1, as old disks have it


def test_a_full_disk_names_the_file():
    full, said = Path("/dev/full"), r"cannot write '/dev/full': No space left on device; name a writable place"
    with pytest.raises(UserError, match=said), writing(full), full.open("wb") as file:
        file.write(bytes(10))


@pytest.fixture
def strange(tmp_path):
    """Return a folder whose name is not UTF-8, with images, labels and a video in it."""
    folder = tmp_path / STRANGE
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for name, pixels in (("images", rgb), ("ids", np.zeros((64, 96), np.uint8))):
        for number in range(2):
            write_atomic(folder / name / f"{number}.png", cv2.imencode(".png", pixels)[1].tobytes())
    write_video(tmp_path / "film.mp4", times=[0, 100]).rename(folder / "film.mp4")
    return folder


def test_names_that_are_no_text_are_names(strange, checkpoint_file, capsys):
    """OpenCV ended in a segmentation fault."""
    command = ["replay", str(strange / "images"), str(strange / "film.mp4"), "--checkpoint", str(checkpoint_file)]
    options = ["--output", str(strange / "out"), "--threads", "1", "--json", str(strange / "figures.json")]
    assert main([*command, *options, "--device", "cpu"]) == 0
    assert json.loads((strange / "figures.json").read_text())["frames"] == 4
    assert (strange / "out/film/film.mp4").stat().st_size > 0
    assert "caf\\udce9" in (strange / "out/report.html").read_text()
    assert "results: " in capsys.readouterr().out
    labelled = ["--labels", str(strange / "ids"), "--output", str(strange / "judged"), "--threads", "1"]
    assert main([*command[:2], *command[3:], *labelled, "--device", "cpu"]) == 0


def test_labels_are_written_beside_names_that_are_no_text(strange, checkpoint_file):
    command = ["pseudo-label", str(strange / "images"), "--teacher", str(checkpoint_file), "--scales", "1"]
    assert main([*command, "--no-flip", "--output", str(strange / "data")]) == 0
    assert len(list((strange / "data/images/labels").iterdir())) == 2


def test_a_line_about_such_a_name_is_a_line(strange, capsys):
    assert main(["evaluate", "nothing.safetensors", str(strange / "nowhere")]) == 2
    assert main(["replay", str(strange / "x"), "--checkpoint", str(strange / "c.safetensors"), "--output", "o"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
