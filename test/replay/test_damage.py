"""What a replay takes up again is not trusted: where a file is damaged, it is done anew, with the same bytes."""

import json
import random
import shutil
import struct

import pytest

from test.replay.conftest import FRAMES
from test.replay.test_replay import iter_raise, replay, written
from vidseg_ros.replay.job import run_input
from vidseg_ros.replay.journal import HEAD, Entry, Journal
from vidseg_ros.replay.sealed import read_result
from vidseg_ros.stream import FrameStream

CASES = 3  # of random damage to each file: each is a replay
SNAPSHOTS = 4  # frames
LEFT = (".work/a/labels.journal", ".work/a/state.safetensors", ".work/fingerprint")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr("vidseg_ros.evaluation.bootstrap.RESAMPLES", 20)
    monkeypatch.setattr("vidseg_ros.replay.journal.SNAPSHOT_EVERY", SNAPSHOTS)


@pytest.fixture
def steps(monkeypatch):
    """Return a list of the frames that the network has seen."""
    seen, segment = [], FrameStream.segment
    monkeypatch.setattr(FrameStream, "segment", lambda self, frame: seen.append(frame) or segment(self, frame))
    return seen


@pytest.fixture
def stopped(bag, config, tmp_path):
    """Return the folder of a replay that was interrupted, and that of a whole one."""
    run_input(bag, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run_input(bag, tmp_path / "stopped", config, iter_raise(10))
    return tmp_path / "stopped", tmp_path / "whole"


def damages(data, seed):
    """Random ones, and those that kill: nothing, cut, zeros of a crashed machine, text of another kind."""
    draw = random.Random(seed)
    yield from (b"", data[: len(data) // 2], bytes(len(data)), b"\xff\xfe", b"null")
    for _ in range(CASES):
        damaged = bytearray(data)
        for _ in range(draw.choice((1, 1, 8))):
            damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        yield bytes(damaged)


@pytest.mark.parametrize("name", LEFT)
def test_damage_of_what_an_interrupted_replay_left(name, stopped, bag, config, tmp_path):
    folder, whole = stopped
    for number, damaged in enumerate(damages((folder / name).read_bytes(), name)):
        out = shutil.copytree(folder, tmp_path / str(number))
        (out / name).write_bytes(damaged)
        run_input(bag, out, config)
        assert written(out) == written(whole), damaged[:20]


def test_undamaged_it_goes_on(stopped, bag, config, steps):
    run_input(bag, stopped[0], config)
    assert len(steps) == FRAMES - 2 * SNAPSHOTS


@pytest.mark.parametrize("name", ["result.json", "latency.json", "worst_a0.jpg"])
def test_damage_of_a_finished_replay(name, bag, checkpoint_file, steps, tmp_path):
    out = tmp_path / "out"
    assert replay(bag, checkpoint_file, out) == 0
    file, before = out / "drive" / name, written(out)
    good = file.read_bytes()
    steps.clear()
    for damaged in [*damages(good, name), good.replace(b'"frames": 12', b'"frames": 13'), None]:
        file.unlink() if damaged is None else file.write_bytes(damaged)
        harmless = damaged is not None and read_result(file.parent) is not None  # white space in result.json, or none
        assert replay(bag, checkpoint_file, out) == 0
        assert len(steps) == (0 if harmless else FRAMES)
        assert harmless or written(out) == before
        file.write_bytes(good) if harmless else steps.clear()
        good = file.read_bytes()
    assert replay(bag, checkpoint_file, out) == 0 and not steps, "what is done is not done again"


def test_a_damaged_result_is_left_out_of_the_report_of_an_interrupt(
    bag, checkpoint_file, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    assert replay(bag, checkpoint_file, out) == 0
    (out / "drive/result.json").write_bytes(b'{"complete": true')

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vidseg_ros.replay.many.run_input", interrupt)
    capsys.readouterr()
    assert replay(bag, checkpoint_file, out) == 130
    assert capsys.readouterr().err == "vidseg replay was interrupted\n"
    assert json.loads((out / "metrics.json").read_text())["frames"] == FRAMES, "that of before"


def test_a_head_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    (tmp_path / "labels.journal").write_bytes(HEAD.pack(2**32 - 1, 0) + bytes(100))
    assert list(Journal(tmp_path).replay()) == []


@pytest.mark.parametrize(
    "body", [b"", bytes(7), struct.pack("<IIId", 0, 4, 4, 0.0), struct.pack("<IIId", 9, 1, 1, 0.0) + b"x"]
)
def test_what_is_no_entry_is_a_value_error(body):
    with pytest.raises(ValueError, match=r"no entry of a journal"):
        Entry.unpack(body)
