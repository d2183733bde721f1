"""A whole replay of a drive through the street world, through a tiny network."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from test.conftest import tiny_network
from test.io.making import write_bag
from test.replay.conftest import FRAMES, LATE, messages, stamps
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.engines import open_engine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.io.bag_reader import image_topics
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import find_decoder, image_to_rgb
from vidseg_ros.labels import CAMVID
from vidseg_ros.replay.job import run_input
from vidseg_ros.stream import FrameStream

PROGRAM = [sys.executable, "-m", "vidseg_ros", "replay"]
TIMED = ("latency.json", "latency.html", "fingerprint")


def arguments(bag, checkpoint, output, *more):
    return [str(bag), "--checkpoint", str(checkpoint), "--output", str(output), "--topic", "/front/image_raw",
            "--device", "cpu", "--threads", "1", *map(str, more)]  # fmt: skip


def replay(*args):
    return main(["replay", *arguments(*args)])


def written(output):
    """Return the bytes of all files but those with times."""
    files = [file for file in sorted(output.rglob("*")) if file.is_file() and file.name not in TIMED]
    return {str(file.relative_to(output)): file.read_bytes() for file in files}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("vidseg_ros.evaluation.bootstrap.RESAMPLES", 20)


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.safetensors"
    Checkpoint(tiny_network(None, seed=5), CAMVID).save(path)
    return path


def test_the_bag_holds_what_a_stream_says(bag, checkpoint_file, drive, tmp_path):
    assert replay(bag, checkpoint_file, tmp_path / "out", "--labels", "/truth") == 0
    names = [f"/segmentation/{name}" for name in ("label", "color", "overlay")]
    stream = FrameStream(open_engine(load_checkpoint(checkpoint_file), EngineConfig("torch", "cpu")))
    expected = [
        stream.segment(Frame(frame.rgb, stamp, "optical")).labels for frame, stamp in zip(drive, stamps(), strict=True)
    ]
    for topic in image_topics(tmp_path / "out/drive/bag", names):
        for (recorded, data), stamp, labels in zip(topic.messages(), stamps(), expected, strict=True):
            message = topic.deserialize(data)
            assert recorded == stamp + LATE
            assert (message.header.stamp.sec * 10**9 + message.header.stamp.nanosec) == stamp
            assert message.header.frame_id == "optical"
            pixels = image_to_rgb(message, find_decoder())
            if topic.topic.endswith("label"):
                np.testing.assert_array_equal(pixels[..., 0], labels)
            elif topic.topic.endswith("color"):
                np.testing.assert_array_equal(pixels, CAMVID.colorize(labels))
    film = cv2.VideoCapture(str(tmp_path / "out/drive/film.mp4"))
    assert (film.get(cv2.CAP_PROP_FRAME_COUNT), film.get(cv2.CAP_PROP_FRAME_WIDTH)) == (FRAMES, 2 * 96)


def test_figures_are_those_of_evaluate(bag, checkpoint_file, drive, tmp_path):
    """The same frames from files, through the evaluation of data sets, give the same figures."""
    assert replay(bag, checkpoint_file, tmp_path / "out", "--labels", "/truth", "--json", tmp_path / "f.json") == 0
    frames = []
    for index, frame in enumerate(drive):
        image, label = tmp_path / f"{index}.png", tmp_path / f"{index}l.png"
        cv2.imwrite(str(image), frame.rgb[..., ::-1])
        cv2.imwrite(str(label), frame.labels)
        frames.append(StoredFrame(image, label, "a", round(index / 15 * 1e9), np.arange(256, dtype=np.uint8)))
    engine = open_engine(load_checkpoint(checkpoint_file), EngineConfig("torch", "cpu"))
    expected = evaluate(engine, [frames], temporal=True)
    figures = json.loads((tmp_path / "f.json").read_text())
    assert {name: figures[name] for name in expected} == expected
    for name in ("tc", "tc_visible", "trajectory", "flicker"):
        assert 0 < expected[name] < 100
    for text in expected["about"].values():
        assert text in (tmp_path / "out/report.html").read_text()
    assert figures["checkpoint"] == str(checkpoint_file)
    assert figures["dataset"] == str(bag)


def test_twice_is_the_same_bytes(bag, checkpoint_file, other, tmp_path):
    for name in ("one", "two"):
        assert replay(bag, checkpoint_file, tmp_path / name, "--labels", "/truth", "--compare", other) == 0
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    assert {"report.html", "metrics.json", "drive/bag/bag.mcap", "drive/film.mp4"} <= one.keys()
    assert one == two


def test_a_killed_run_goes_on(bag, config, tmp_path, monkeypatch):
    """The network runs again from the last snapshot only, and the result has the same bytes."""
    monkeypatch.setattr("vidseg_ros.replay.journal.SNAPSHOT_EVERY", 4)
    run_input(bag, tmp_path / "whole", config)
    left = iter(range(7))

    def kill():
        if next(left, None) is None:
            raise SystemError("killed")

    with pytest.raises(SystemError):
        run_input(bag, tmp_path / "killed", config, kill)
    steps, segment = [], FrameStream.segment
    monkeypatch.setattr(FrameStream, "segment", lambda self, frame: steps.append(frame) or segment(self, frame))
    run_input(bag, tmp_path / "killed", config)
    assert len(steps) == FRAMES - 8
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    run_input(bag, tmp_path / "killed", config)
    assert len(steps) == FRAMES - 8, "what is done is not done again"
    run_input(bag, tmp_path / "killed", replace(config, frames=3))
    assert len(steps) == FRAMES - 8 + 3, "another job begins anew"


def test_a_cut_journal_is_not_trusted(bag, config, tmp_path, monkeypatch):
    monkeypatch.setattr("vidseg_ros.replay.journal.SNAPSHOT_EVERY", 4)
    run_input(bag, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run_input(bag, tmp_path / "cut", config, iter_raise(7))
    journal = tmp_path / "cut/.work/a/labels.journal"
    journal.write_bytes(journal.read_bytes()[:100])
    run_input(bag, tmp_path / "cut", config)
    assert written(tmp_path / "cut") == written(tmp_path / "whole")


def iter_raise(after, error=KeyboardInterrupt):
    """Return a progress function that raises after so many frames."""
    left = iter(range(after))

    def progress():
        if next(left, None) is None:
            raise error

    return progress


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_a_valid_bag_and_a_partial_report(number, code, drive, checkpoint_file, tmp_path):
    path = write_bag(tmp_path / "long", {"/front/image_raw": messages([f.rgb for f in drive] * 60)})
    process = subprocess.Popen(
        [*PROGRAM, *arguments(path, checkpoint_file, tmp_path / "out")], stderr=subprocess.PIPE, text=True
    )
    until_begun(process, tmp_path / "out/long")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, "vidseg replay was interrupted\n")
    require_partial(tmp_path / "out", "long")


def until_begun(process, *folders):
    """Wait until all ``folders`` have labels."""
    deadline = time.monotonic() + 120
    for journal in (folder / ".work/a/labels.journal" for folder in folders):
        while not (journal.exists() and journal.stat().st_size > 0):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)


def require_partial(output, *names):
    """A readable bag of each input, and a report of what is in it."""
    topics = [image_topics(output / name / "bag", ["/segmentation/label"])[0] for name in names]
    counts = [len(list(topic.messages())) for topic in topics]
    assert all(0 < count < 60 * FRAMES for count in counts)
    metrics = json.loads((output / "metrics.json").read_text())
    assert 0 <= sum(counts) - metrics["frames"] <= len(names)  # the frame at which it was interrupted
    assert "interrupted" in (output / "report.html").read_text()


@pytest.mark.parametrize(("number", "code", "group"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_interrupt_reaches_the_processes_of_a_replay_once(number, code, group, drive, checkpoint_file, tmp_path):
    """Whether it comes to all of them, as from a terminal, or to the first one alone."""
    names = ("one", "two")
    paths = [write_bag(tmp_path / name, {"/front/image_raw": messages([f.rgb for f in drive] * 60)}) for name in names]
    command = [*PROGRAM, str(paths[0]), *arguments(paths[1], checkpoint_file, tmp_path / "out", "--workers", 2)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until_begun(process, *(tmp_path / "out" / name for name in names))
    (os.killpg if group else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, "vidseg replay was interrupted\n")
    require_partial(tmp_path / "out", *names)


def test_a_comparison_says_what_is_real(bag, checkpoint_file, other, tmp_path):
    assert replay(bag, checkpoint_file, tmp_path / "out", "--labels", "/truth", "--compare", other) == 0
    compare = json.loads((tmp_path / "out/metrics.json").read_text())["compare"]
    assert compare["checkpoint"] == str(other)
    assert compare["verdict"].startswith(("The difference is real", "No difference is certain"))
    topics = image_topics(tmp_path / "out/drive/bag", ["/segmentation/label", "/compare/label"])
    first, second = ([data for _, data in topic.messages()] for topic in topics)
    assert first != second
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("data:image/jpeg;base64") >= 2
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "")


def test_several_cameras_have_a_folder_each(drive, checkpoint_file, tmp_path):
    pictures = [f.rgb for f in drive]
    topics = {"/front/image_raw": messages(pictures[:4]), "/rear/image_raw": messages(pictures[4:9])}
    path = write_bag(tmp_path / "two", topics)
    assert replay(path, checkpoint_file, tmp_path / "out", "--topic", "/rear/image_raw") == 0
    for camera, count in (("front", 4), ("rear", 5)):
        assert image_topics(tmp_path / f"out/two/{camera}/bag", [f"/segmentation/{camera}/label"])[0].count == count
    assert json.loads((tmp_path / "out/metrics.json").read_text())["frames"] == 9


def test_gaps_reset_and_are_not_compared(drive, config, tmp_path):
    first, second = messages([f.rgb for f in drive[:3]]), messages([f.rgb for f in drive[:3]])
    for _, message in second:
        message.header.stamp.sec += 100
    later = [(recorded + 10**11, message) for recorded, message in second]
    path = write_bag(tmp_path / "gap", {"/front/image_raw": first + later})
    run_input(path, tmp_path / "out", config)
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert [reset["frame"] for reset in result["resets"]] == [3]
    pairs = [np.sum(block["flicker"]["counts"][1]) for block in result["courses"]["a"]["blocks"]]
    assert [bool(pixels) for pixels in pairs] == [False, True, True, False, True, True]


def test_videos_and_folders(drive, checkpoint_file, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "ids").mkdir()
    film = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 15, (96, 64))
    for index, frame in enumerate(drive[:4]):
        film.write(frame.rgb[..., ::-1])
        cv2.imwrite(str(tmp_path / f"images/{index:04}.png"), frame.rgb[..., ::-1])
        cv2.imwrite(str(tmp_path / f"ids/{index:04}.png"), CAMVID.colorize(frame.labels)[..., ::-1])
    film.release()
    inputs = [str(tmp_path / "images"), str(tmp_path / "v.avi")]
    code = main(
        ["replay", *inputs, *arguments("", checkpoint_file, tmp_path / "out", "--labels", tmp_path / "ids")[1:]]
    )
    assert code == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert [(r["frames"], r["unmatched"]) for r in metrics["recordings"]] == [(4, 0), (4, 0)]
    assert metrics["miou"] is not None


BAD = {
    "no such input": ("nothing", [], "does not exist"),
    "labels of another size": ("drive", ["--labels", "/small"], r"48x32 but their frame is 96x64"),
    "unmatched stamps": ("drive", ["--labels", "/late"], "none of 12 frames"),
    "no ids of the palette": ("drive", ["--labels", "/front/image_raw"], "neither an id nor a colour"),
    "unknown palette": ("drive", ["--labels", "/truth", "--palette", "kitti"], "'kitti' does not exist"),
    "no such label topic": ("drive", ["--labels", "/nothing"], "no image topic '/nothing'"),
    "a video without frames": ("empty.mp4", [], "holds no video"),
    "a checkpoint that is not there": ("drive", ["--compare", "none.safetensors"], "'none.safetensors' does not exist"),
    "other output": ("drive", ["--output", "/proc/nothing"], "cannot write"),
    "a rate of nothing": ("drive", ["--fps", "0"], "fps is 0.0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, drive, checkpoint_file, tmp_path, capsys):
    name, options, text = BAD[case]
    ids = [f.labels for f in drive]
    topics = {
        "/front/image_raw": messages([f.rgb for f in drive]),
        "/truth": messages(ids, "mono8"),
        "/late": messages(ids, "mono8", 10**7),
        "/small": messages([labels[::2, ::2] for labels in ids], "mono8"),
    }
    write_bag(tmp_path / "drive", topics)
    (tmp_path / "empty.mp4").touch()
    assert replay(tmp_path / name, checkpoint_file, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and pytest.importorskip("re").search(text, error), error


def test_frames_that_hold_no_image_are_counted(drive, config, tmp_path):
    frames = messages([f.rgb for f in drive[:4]])
    frames[2][1].data = frames[2][1].data[:100]
    run_input(write_bag(tmp_path / "bad", {"/front/image_raw": frames}), tmp_path / "out", config)
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["frames"], result["rejected"], result["complete"]) == (3, 1, True)
    for _, message in frames:
        message.encoding = "unheard of"
    with pytest.raises(UserError, match=r"no usable frame.*unheard of"):
        run_input(write_bag(tmp_path / "worse", {"/front/image_raw": frames}), tmp_path / "out2", config)


def test_what_other_work_left_is_not_reported(bag, config, tmp_path):
    run_input(bag, tmp_path / "out", config)
    with pytest.raises(UserError):
        run_input(bag, tmp_path / "out", replace(config, topics=("/nothing",)))
    assert not (tmp_path / "out/result.json").exists()


def test_mended_labels_are_judged_anew(bag, config, drive, tmp_path):
    (tmp_path / "ids").mkdir()
    config = replace(config, labels=str(tmp_path / "ids"))
    results = []
    for wrong in (0, 40):
        for frame, stamp in zip(drive, stamps(), strict=True):
            labels = frame.labels.copy()
            labels[:wrong] = CAMVID.id_of("bicyclist")
            cv2.imwrite(str(tmp_path / f"ids/{stamp}.png"), labels)
        run_input(bag, tmp_path / "out", config)
        results.append(json.loads((tmp_path / "out/result.json").read_text())["courses"]["a"]["blocks"])
    assert results[0] != results[1]


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder that holds 34 MB: the room that a bag keeps for its index, and 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=34m", "none", folder]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line(checkpoint_file, small_disk, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (20, 360, 480, 3), dtype=np.uint8)
    path = write_bag(tmp_path / "big", {"/front/image_raw": messages(noise)})
    assert replay(path, checkpoint_file, small_disk) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "No space left" in error
    (topic,) = image_topics(small_disk / "big/bag", ["/segmentation/overlay"])
    assert 0 < len(list(topic.messages())) < 20
    assert json.loads((small_disk / "metrics.json").read_text())["problems"]
