"""The installed executables, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from test.ros.conftest import picture
from vidseg_ros.cli.main import main
from vidseg_ros.ros.transport import PROFILE, use_large_image_transport

NODE = [sys.executable, "-m", "vidseg_ros.ros.node", "--ros-args"]
VIDSEG = [sys.executable, "-m", "vidseg_ros"]


def run(*arguments):
    return subprocess.run([*VIDSEG, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupt_ends_the_node_cleanly(checkpoint_file, signals):
    command = [*NODE, "-p", f"model:={checkpoint_file}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    lines = iter(process.stderr.readline, "")
    assert any("segmenting image" in line for line in lines)
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert process.wait(10) == 0
    assert "Traceback" not in process.stderr.read()


def test_missing_model_is_one_line_and_the_node_waits_to_be_mended():
    process = subprocess.Popen([*NODE, "-p", "model:=/no/such.safetensors"], stderr=subprocess.PIPE, text=True)
    line = next(line for line in iter(process.stderr.readline, "") if "ERROR" in line)
    assert "'/no/such.safetensors' does not exist" in line
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert "Traceback" not in process.stderr.read()


def folder_of_pictures(tmp_path, count=5):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), picture(seed=i))
    return folder


def stamps(bag, topic):
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic.endswith(topic)]
        messages = [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages(chosen)]
    return [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in messages]


def test_demo_delivers_every_frame_of_a_folder_and_plays_its_own_bag(tmp_path, checkpoint_file):
    output, figures = tmp_path / "out", tmp_path / "figures.json"
    options = ("--checkpoint", checkpoint_file, "--output", output, "--json", figures, "--fps", 10)
    result = run("demo", "--input", folder_of_pictures(tmp_path), *options)
    assert result.returncode == 0, result.stderr
    values = json.loads(figures.read_text())
    frames = {"sent": 5, "received": 5, "processed": 5, "dropped": 0, "rejected": 0, "labels": 5}
    assert values["frames"] == frames
    assert 0 < values["model_ms"]["p50"] < values["latency_ms"]["p50"]
    for topic in ("label", "color", "overlay"):
        np.testing.assert_allclose(stamps(output / "bag", topic), np.arange(5) / 10)
    film = cv2.VideoCapture(str(output / "demo.mp4"))
    assert [film.read()[1].shape for _ in range(5)] == [(48, 128, 3)] * 5
    assert not film.read()[0]

    again = ("--topic", "/vidseg_demo", "--input", output / "bag")
    refused = run("demo", *again, *options)
    assert refused.returncode == 2
    assert "name one with --topic (here: " in refused.stderr
    colour = refused.stderr.split("here: ")[1].split(",")[1].strip()
    second = run("demo", "--input", output / "bag", "--topic", colour, "--checkpoint", checkpoint_file,
                 "--output", tmp_path / "second", "--json", figures)  # fmt: skip
    assert second.returncode == 0, second.stderr
    assert json.loads(figures.read_text())["frames"] == frames


def test_demo_drives_through_the_street_world_in_real_time(tmp_path, checkpoint_file):
    figures = tmp_path / "figures.json"
    result = run("demo", "--frames", 12, "--rate", 10, "--checkpoint", checkpoint_file, "--output", tmp_path / "out",
                 "--json", figures)  # fmt: skip
    assert result.returncode == 0, result.stderr
    frames = json.loads(figures.read_text())["frames"]
    assert frames["sent"] == 12
    assert frames["received"] == frames["processed"] + frames["dropped"]
    assert frames["labels"] == frames["processed"] > 0


BAD = [
    (("demo", "--checkpoint", "/no/such.safetensors"), "does not exist"),
    (("demo", "--device", "cuda:99"), "device 'cuda:99' is not here"),
    (("demo", "--input", "/no/such/folder"), "does not exist"),
    (("demo", "--frames", "0"), "--frames is 0"),
    (("demo", "--output", "/proc/nowhere"), "name another --output"),
]


@pytest.mark.parametrize(("arguments", "problem"), BAD)
def test_demo_says_in_one_line_what_is_wrong(arguments, problem, checkpoint_file, tmp_path):
    options = [] if "--output" in arguments else ["--output", tmp_path]
    options += [] if "--checkpoint" in arguments else ["--checkpoint", checkpoint_file]
    result = run(*arguments, *options)
    assert result.returncode == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_garbage_instead_of_a_video_or_bag(tmp_path, checkpoint_file):
    (tmp_path / "film.mp4").write_bytes(b"no film")
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: 3")
    for path, problem in ((tmp_path / "film.mp4", "holds no video"), (bag, "cannot read bag")):
        result = run("demo", "--input", path, "--output", tmp_path / "out", "--checkpoint", checkpoint_file)
        assert result.returncode == 2
        assert problem in result.stderr


def test_profile_is_set_unless_the_user_has_one(monkeypatch):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    use_large_image_transport()
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/mine.xml"
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE")
    use_large_image_transport()
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(PROFILE)
    assert "segment_size>16777216<" in PROFILE.read_text()


def test_overview_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {"demo", "evaluate", "import-weights", "train"} <= set(capsys.readouterr().out.split())
