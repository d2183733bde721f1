"""A replay that knows the future: forward and backward, with the answers behind the frames that were read."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from test.io.making import write_bag
from test.replay.conftest import FRAMES, PERIOD, messages, stamps
from test.replay.test_replay import few_resamples, iter_raise, other, replay, written  # noqa: F401
from vidseg_ros.bidirectional import BidirectionalStream
from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.engines import TorchEngine
from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import image_topics
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import find_decoder, image_to_rgb
from vidseg_ros.io.recordings import open_recordings
from vidseg_ros.networks.bidirectional import AHEAD, CHUNK
from vidseg_ros.replay.job import run_input

LONG = CHUNK + AHEAD + 5


@pytest.fixture
def both(config):
    return replace(config, bidirectional=True, engine=replace(config.engine, memory="flow"))


@pytest.fixture
def long_bag(drive, tmp_path):
    """Frames that go there and back, with a gap, labelled."""
    order = [*range(FRAMES), *reversed(range(FRAMES))] * 2
    frames = [drive[number] for number in order[:LONG]]
    pictures = messages_of(frames, [f.rgb for f in frames])
    return write_bag(
        tmp_path / "long",
        {"/front/image_raw": pictures, "/truth": messages_of(frames, [f.labels for f in frames], "mono8")},
    )


def messages_of(frames, pixels, encoding="rgb8"):
    made = messages(pixels, encoding)
    for number, (_, message) in enumerate(made):
        stamp = stamps(LONG)[number] + (number >= 20) * 10**9
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return made


def labels_of(folder):
    (topic,) = image_topics(folder / "bag", ["/segmentation/label"])
    decoder = find_decoder()
    return [image_to_rgb(topic.deserialize(data), decoder)[..., 0] for _, data in topic.messages()]


def test_the_bag_holds_what_a_bidirectional_stream_says(long_bag, drive, both, checkpoint_file, tmp_path):
    run_input(long_bag, tmp_path / "out", replace(both, labels="/truth"))
    engine = TorchEngine(load_checkpoint(checkpoint_file), both.engine)
    order = [*range(FRAMES), *reversed(range(FRAMES))] * 2
    times = [stamp + (number >= 20) * 10**9 for number, stamp in enumerate(stamps(LONG))]
    frames = [Frame(drive[number].rgb, stamp) for number, stamp in zip(order, times, strict=False)]
    expected = [answer.labels for _, answer in BidirectionalStream(engine).segment(frames)]
    found = labels_of(tmp_path / "out")
    assert len(found) == LONG
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert [(reset["frame"], reset["reason"]) for reset in result["resets"]] == [
        (20, f"time jumped by {1 + PERIOD * 1e-9:.3f} s (max_gap is 0.5 s)")
    ]
    assert (result["frames"], result["unmatched"], result["complete"]) == (LONG, 0, True)
    times = json.loads((tmp_path / "out/latency.json").read_text())
    assert times["model_ms"]["a"] == {"p50": None, "p95": None}, "nothing waits for an answer"


def test_a_killed_run_begins_anew_and_gives_the_same_bytes(long_bag, both, tmp_path):
    run_input(long_bag, tmp_path / "whole", both)
    with pytest.raises(KeyboardInterrupt):
        run_input(long_bag, tmp_path / "killed", both, iter_raise(7))
    assert json.loads((tmp_path / "killed/result.json").read_text())["problem"] == "interrupted"
    count = []
    run_input(long_bag, tmp_path / "killed", both, lambda: count.append(1))
    assert len(count) == LONG
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    run_input(long_bag, tmp_path / "killed", both, lambda: count.append(1))
    assert len(count) == LONG, "what is done is not done again"
    run_input(long_bag, tmp_path / "killed", replace(both, bidirectional=False), lambda: count.append(1))
    assert len(count) == 2 * LONG, "another job begins anew"
    assert written(tmp_path / "killed") != written(tmp_path / "whole")


def test_frames_before_a_break_are_all_judged(long_bag, both, tmp_path, monkeypatch):
    """Those that wait for what is behind them, too."""
    (recording,) = open_recordings(long_bag, ["/front/image_raw"])

    def breaking():
        yield from islice(recording.frames(), CHUNK + 3)
        raise UserError("the bag breaks here")

    opened = [replace(recording, frames=breaking)]
    monkeypatch.setattr("vidseg_ros.replay.job.open_recordings", lambda *arguments: opened)
    with pytest.raises(UserError, match="breaks here"):
        run_input(long_bag, tmp_path / "out", both)
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["frames"], result["complete"]) == (CHUNK + 3, False)
    assert "breaks here" in result["problem"]
    assert len(labels_of(tmp_path / "out")) == CHUNK + 3


def test_the_verb(bag, checkpoint_file, other, tmp_path, capsys):  # noqa: F811
    for name in ("one", "two"):
        assert replay(bag, checkpoint_file, tmp_path / name, "--compare", other, "--bidirectional") == 0
    assert written(tmp_path / "one") == written(tmp_path / "two")
    assert json.loads((tmp_path / "one/metrics.json").read_text())["config"]["bidirectional"] is True
    capsys.readouterr()
    assert replay(bag, checkpoint_file, tmp_path / "no", "--bidirectional", "--engine", "openvino") == 2
    said = capsys.readouterr().err
    assert "need the probabilities of a checkpoint; use --engine torch" in said and said.count("\n") == 1
