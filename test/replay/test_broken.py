"""What happens in mid-stream: the process is killed, the input breaks."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest

from test.io.making import write_bag
from test.replay.conftest import FRAMES, messages
from test.replay.test_replay import PROGRAM, arguments, replay, written
from vidseg_ros.cli.main import main
from vidseg_ros.io.bag_reader import image_topics
from vidseg_ros.replay.journal import SNAPSHOT_EVERY
from vidseg_ros.stream import FrameStream

TURNS = 15  # of the drive: long enough to be caught in the midst of it


@pytest.fixture
def long_drive(drive):
    return {"/front/image_raw": messages([frame.rgb for frame in drive] * TURNS)}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("vidseg_ros.evaluation.bootstrap.RESAMPLES", 20)


def started(command, file):
    """Start a process, and wait until it has written ``file``."""
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 90
    while not file.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    return process


def test_a_killed_process_is_taken_up_again(long_drive, checkpoint_file, tmp_path, monkeypatch):
    bag = write_bag(tmp_path / "long", long_drive)
    assert replay(bag, checkpoint_file, tmp_path / "whole") == 0
    out = tmp_path / "killed"
    process = started([*PROGRAM, *arguments(bag, checkpoint_file, out)], out / "long/.work/a/state.safetensors")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert (out / "long/bag").is_dir() and not (out / "long/result.json").exists(), "killed while it recorded"
    steps, segment = [], FrameStream.segment
    monkeypatch.setattr(FrameStream, "segment", lambda self, frame: steps.append(frame) or segment(self, frame))
    assert replay(bag, checkpoint_file, out) == 0
    known = TURNS * FRAMES - len(steps)
    assert known > 0 and known % SNAPSHOT_EVERY == 0
    assert written(out) == written(tmp_path / "whole")


def damage_mcap(file, drive):
    """Overwrite more than a message amid a chunk."""
    data = np.fromfile(file, np.uint8)
    data[len(data) // 2 :][:20_000] = np.random.default_rng(0).integers(0, 256, 20_000)
    data.tofile(file)


def damage_sqlite(file, drive):
    """Break the chain of pages that hold one message: each begins with the number of the next."""
    data = bytearray(file.read_bytes())
    place = data.find(drive[0].rgb[40].tobytes(), len(data) // 2)
    assert place > 0
    start = place // 4096 * 4096
    data[start : start + 4] = b"\xff" * 4
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("storage", "compression", "damage", "text"),
    [
        ("mcap", None, damage_mcap, "of 180 messages of '/front/image_raw' can be read"),
        ("mcap", "storage", damage_mcap, "cannot read bag"),
        ("sqlite3", None, damage_sqlite, "malformed"),
    ],
)
def test_a_bag_that_breaks_is_judged_as_far_as_it_can_be_read(
    storage, compression, damage, text, drive, long_drive, checkpoint_file, tmp_path, capsys
):
    broken = write_bag(tmp_path / "broken", long_drive, storage, compression)
    good = write_bag(tmp_path / "good", {name: some[:5] for name, some in long_drive.items()}, storage)
    (file,) = (path for path in broken.iterdir() if path.suffix in (".mcap", ".db3"))
    damage(file, drive)
    out = tmp_path / "out"
    command = ["replay", str(broken), str(good), *arguments("", checkpoint_file, out)[1:]]
    assert main(command) == 2
    errors = capsys.readouterr().err
    assert f"bag '{broken}'" in errors and text in errors and errors.count("\n") == 1, errors
    metrics = json.loads((out / "metrics.json").read_text())
    first, second = metrics["recordings"]
    assert (first["complete"], second["complete"], second["frames"]) == (False, True, 5)
    assert text in first["problem"] and len(metrics["problems"]) == 1
    assert TURNS * FRAMES // 4 < first["frames"] < TURNS * FRAMES
    assert metrics["frames"] == first["frames"] + 5
    (topic,) = image_topics(out / "broken/bag", ["/segmentation/label"])
    assert len(list(topic.messages())) == first["frames"]
