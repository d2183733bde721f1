"""The installed executables, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image

from test.ros.conftest import header, picture
from vidseg_ros.cli.main import main
from vidseg_ros.io.bag_reader import IMAGE_TYPE
from vidseg_ros.io.bag_writer import BagWriter
from vidseg_ros.ros.conversions import to_image
from vidseg_ros.ros.harness.player import FRAME_TIMEOUT
from vidseg_ros.ros.transport import LARGE_PROFILE, PROFILE, find_profile, use_large_image_transport

NODE = [sys.executable, "-m", "vidseg_ros.ros.segmentation.node", "--ros-args"]
VIDSEG = [sys.executable, "-m", "vidseg_ros"]


def run(*arguments):
    return subprocess.run([*VIDSEG, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def start_process():
    """Start node processes that do not outlive the test, nor a minute."""
    started = []

    def start(*parameters):
        process = subprocess.Popen([*NODE, *parameters], stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(60, process.kill)
        timer.start()
        started.append((process, timer))
        return process

    yield start
    for process, timer in started:
        timer.cancel()
        process.kill()
        process.wait()


def line_with(process, text):
    return next(line for line in iter(process.stderr.readline, "") if text in line)


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupt_ends_the_node_cleanly(start_process, checkpoint_file, signals):
    process = start_process("-p", f"model:={checkpoint_file}")
    line_with(process, "segmenting /")
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert process.wait(10) == 0
    assert "Traceback" not in process.stderr.read()


def test_interrupt_while_frames_flow_is_clean(start_process, checkpoint_file):
    process = start_process("-p", f"model:={checkpoint_file}", "-p", "max_gap:=3600.0", "-r", "__ns:=/flow")
    line_with(process, "segmenting /")
    camera = rclpy.create_node("camera", namespace="/flow")
    publisher = camera.create_publisher(Image, "image", 1)
    answers = []
    camera.create_subscription(Image, "segmentation/label", answers.append, 10)
    for i in range(1000):
        publisher.publish(to_image(picture(), "rgb8", header(1 + i / 100)))
        rclpy.spin_once(camera, timeout_sec=0.005)
        if len(answers) == 10:
            process.send_signal(signal.SIGINT)
        if process.poll() is not None:
            break
    camera.destroy_node()
    assert process.wait(10) == 0
    assert len(answers) >= 10
    assert process.stderr.read() == ""


def test_missing_model_is_one_line_and_the_node_waits_to_be_mended(start_process):
    process = start_process("-p", "model:=/no/such.safetensors")
    assert "'/no/such.safetensors' does not exist" in line_with(process, "ERROR")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("parameter", ["max_gap:=1", "max_gap:=-1.0"])
def test_parameter_of_another_type_or_range_is_one_line(start_process, parameter):
    process = start_process("-p", parameter)
    assert process.wait(30) == 2
    said = process.stderr.read()
    assert "max_gap" in line_with_text(said, "FATAL")
    assert "Traceback" not in said


def line_with_text(text, word):
    return next(line for line in text.splitlines() if word in line)


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

    own = run("demo", "--input", output / "bag", *options)
    assert (own.returncode, "is where this demo records" in own.stderr) == (2, True)
    elsewhere = ("--checkpoint", checkpoint_file, "--output", tmp_path / "second")
    refused = run("demo", "--topic", "/vidseg_demo", "--input", output / "bag", *elsewhere)
    assert refused.returncode == 2
    assert "name one with --topic (here: " in refused.stderr
    colour = refused.stderr.split("here: ")[1].split(",")[1].strip()
    second = run("demo", "--input", output / "bag", "--topic", colour, *elsewhere, "--json", figures)
    assert second.returncode == 0, second.stderr
    assert json.loads(figures.read_text())["frames"] == frames


def test_demo_delivers_all_frames_of_camvid_val(camvid_val, tmp_path, checkpoint_file):
    figures, output = tmp_path / "figures.json", tmp_path / "out"
    result = run("demo", "--input", camvid_val / "frames", "--checkpoint", checkpoint_file, "--output", output,
                 "--json", figures)  # fmt: skip
    assert result.returncode == 0, result.stderr
    frames = json.loads(figures.read_text())["frames"]
    assert frames == {"sent": 101, "received": 101, "processed": 101, "dropped": 0, "rejected": 0, "labels": 101}
    np.testing.assert_allclose(stamps(output / "bag", "label"), np.arange(101) / 15)


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
    (("demo", "--rate", "nan"), "--rate is nan"),
    (("demo", "--json", "/proc/nowhere/x.json"), "cannot write"),
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


def test_demo_replaces_no_bag_of_somebody_else(tmp_path, checkpoint_file):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "metadata.yaml").write_text("mine")
    result = run("demo", "--frames", 1, "--checkpoint", checkpoint_file, "--output", tmp_path)
    assert result.returncode == 2
    assert "was not written by this command" in result.stderr
    assert (tmp_path / "bag" / "metadata.yaml").read_text() == "mine"


def test_demo_loops_a_bag_and_the_node_starts_afresh_each_time(tmp_path, checkpoint_file):
    """What `ros2 bag play --loop` does, without it: time jumps back twice, and nothing is lost."""
    with BagWriter(tmp_path / "loop", {"/image": IMAGE_TYPE}, "test") as bag:
        for i in range(5):
            bag.write("/image", i, serialize_message(to_image(picture(seed=i), "rgb8", header(1 + i / 10))))
    out = tmp_path / "out"
    arguments = ("--input", tmp_path / "loop", "--checkpoint", checkpoint_file, "--output", out, "--device", "cpu")
    ran = run("demo", *arguments, "--loops", 3, "--json", out / "figures.json")
    assert ran.returncode == 0, ran.stderr
    figures = json.loads((out / "figures.json").read_text())
    assert (figures["frames"]["processed"], figures["frames"]["labels"], figures["resets"]) == (15, 15, 2)
    with AnyReader([out / "bag"]) as reader:
        labels = [bytes(data) for c, _, data in reader.messages() if c.topic.endswith("/label")]
    assert sorted(labels[:3]) == sorted(labels[:1] * 3), "each lap is the first one"


def test_demo_goes_on_after_bad_frames(tmp_path, checkpoint_file):
    """A bag whose second of three images is broken, and a fourth is cut: nothing waits for their answers."""
    bag, topic = tmp_path / "in", "/camera/image_raw"
    with BagWriter(bag, {topic: IMAGE_TYPE}, "test") as writer:
        for i in range(4):
            message = to_image(picture(seed=i), "rgb8", header(1 + i / 10))
            message.encoding = "rgb8" if i != 1 else "smell-o-vision"
            writer.write(topic, i, serialize_message(message)[: 60 if i == 3 else None])
    figures, start = tmp_path / "figures.json", time.monotonic()
    result = run(
        "demo", "--input", bag, "--checkpoint", checkpoint_file, "--output", tmp_path / "out", "--json", figures
    )
    assert result.returncode == 0, result.stderr
    values = json.loads(figures.read_text())
    frames = {"sent": 3, "received": 3, "processed": 2, "dropped": 0, "rejected": 1, "labels": 2}
    assert (values["frames"], values["skipped"]) == (frames, 1)
    assert f"frames of '{bag}': 1 that hold no image skipped (a message of '{topic}' is damaged" in result.stdout
    assert time.monotonic() - start < FRAME_TIMEOUT


def test_demo_says_that_it_writes_no_film(tmp_path, checkpoint_file):
    """It said nothing, and named the film among its results."""
    (tmp_path / "out" / "demo.mp4").mkdir(parents=True)
    result = run("demo", "--frames", 2, "--checkpoint", checkpoint_file, "--output", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert f"no film '{tmp_path}/out/demo.mp4' (IsADirectoryError" in result.stdout
    assert "results: " in result.stdout and "demo.mp4, " not in result.stdout


def test_demo_of_no_usable_frame_is_one_line(tmp_path, checkpoint_file):
    folder = folder_of_pictures(tmp_path, 1)
    (folder / "0.png").write_bytes(b"no picture")
    result = run("demo", "--input", folder, "--checkpoint", checkpoint_file, "--output", tmp_path / "out")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert f"--input '{folder}' holds no usable frame (cannot read image '{folder}/0.png'" in result.stderr


def test_truncated_bag_is_one_line(tmp_path, checkpoint_file):
    bag = tmp_path / "in"
    with BagWriter(bag, {"/image": IMAGE_TYPE}, "test") as writer:
        for i in range(5):
            writer.write("/image", i, serialize_message(to_image(picture(seed=i), "rgb8", header(i))))
    file = next(bag.glob("*.mcap"))
    whole = file.read_bytes()
    for cut in (0.0, 0.3, 0.9):
        file.write_bytes(whole[: int(cut * len(whole))])
        result = run("demo", "--input", bag, "--checkpoint", checkpoint_file, "--output", tmp_path / "out")
        assert result.returncode == 2, result.stdout
        assert "cannot read bag" in result.stderr
        assert result.stderr.count("\n") == 1
    (bag / "metadata.yaml").unlink()
    result = run("demo", "--input", bag, "--checkpoint", checkpoint_file, "--output", tmp_path / "out")
    assert (result.returncode, "cannot read bag" in result.stderr) == (2, True)


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
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(find_profile())


@pytest.mark.parametrize(("free", "profile", "segment"), [(1 << 31, LARGE_PROFILE, 96), (1 << 26, PROFILE, 16)])
def test_profile_is_the_largest_that_shared_memory_has_room_for(monkeypatch, free, profile, segment):
    memory = type("Memory", (), {"f_bavail": free >> 12, "f_frsize": 1 << 12})
    monkeypatch.setattr(os, "statvfs", lambda path: memory)
    assert find_profile() == profile
    assert f"<segment_size>{segment << 20}<" in profile.read_text()
    ElementTree.parse(profile)


def test_profile_needs_no_shared_memory(monkeypatch):
    monkeypatch.setattr("vidseg_ros.ros.transport.SHARED_MEMORY", "/no/such")
    assert find_profile() == PROFILE


def test_overview_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {"demo", "evaluate", "import-weights", "train"} <= set(capsys.readouterr().out.split())
