"""The launch file, run by the real launch where that is installed."""

import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest

from test.io.making import write_bag
from test.replay.conftest import messages
from vidseg_ros.io.bag_reader import image_topics

launch = pytest.importorskip("launch", reason="ROS 2 launch is not installed")
pytest.importorskip("launch_ros", reason="launch_ros is not installed")
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory  # noqa: E402

try:
    get_package_share_directory("vidseg_ros")
except (PackageNotFoundError, LookupError):
    pytest.skip("vidseg_ros is not on AMENT_PREFIX_PATH", allow_module_level=True)


def ros2_launch(*arguments, file="seg.launch.py"):
    command = ["ros2", "launch", "vidseg_ros", file, *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def wait_for(process, text):
    for line in iter(process.stdout.readline, ""):
        if text in line:
            return line
    pytest.fail(f"'{text}' was not said")


def stop(process):
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in output


def test_starts_and_stops(checkpoint_file):
    process = ros2_launch(f"model:={checkpoint_file}", "device:=cpu", "image:=/front/image_raw", "namespace:=car")
    assert "[car.segmentation]" in wait_for(process, "segmenting")
    stop(process)


def test_parameters_of_a_file_and_overrides(checkpoint_file, tmp_path):
    (tmp_path / "mine.yaml").write_text("/**:\n  ros__parameters:\n    model: /of/the/file\n    device: cpu\n")
    process = ros2_launch(f"params_file:={tmp_path}/mine.yaml")
    wait_for(process, "'/of/the/file' does not exist")
    stop(process)
    process = ros2_launch(
        f"params_file:={tmp_path}/mine.yaml", f"model:={checkpoint_file}", "image_transport:=compressed"
    )
    wait_for(process, "segmenting /image/compressed")
    stop(process)


@pytest.fixture
def drive_bag(tmp_path):
    if shutil.which("ros2") is None or subprocess.run(["ros2", "bag", "--help"], check=False).returncode:
        pytest.skip("ros2 bag is not installed")
    frames = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), dtype=np.uint8)
    return write_bag(tmp_path / "drive", {"/front/image_raw": messages(frames)})


def replay_arguments(bag, checkpoint_file, tmp_path):
    model = (f"model:={checkpoint_file}", "device:=cpu", "image:=/front/image_raw")
    return f"bag:={bag}", f"output:={tmp_path}/answers", *model


def test_replay_plays_a_bag_records_and_ends(drive_bag, checkpoint_file, tmp_path):
    process = ros2_launch(*replay_arguments(drive_bag, checkpoint_file, tmp_path), file="replay.launch.py")
    output, _ = process.communicate(timeout=90)
    assert "Traceback" not in output
    (labels,) = image_topics(tmp_path / "answers", ["/segmentation/label"])
    stamps = [labels.deserialize(data).header.stamp for _, data in labels.messages()]
    assert len(stamps) > 20
    assert {stamp.sec for stamp in stamps} <= {1_700_000_000, 1_700_000_001, 1_700_000_002}


def test_replay_survives_loops(drive_bag, checkpoint_file, tmp_path):
    arguments = (*replay_arguments(drive_bag, checkpoint_file, tmp_path), "loop:=true", "rate:=3.0")
    process = ros2_launch(*arguments, file="replay.launch.py")
    for _ in range(2):
        assert "time ran back" in wait_for(process, "state reset")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert "Traceback" not in output


def refuses(words, *arguments):
    """Run carla.launch.py, which must end at once with one line of error that holds ``words``."""
    command = ["ros2", "launch", "vidseg_ros", "carla.launch.py", *arguments]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    errors = [line for line in (result.stdout + result.stderr).splitlines() if "INFO" not in line and line.strip()]
    assert result.returncode == 1
    assert len(errors) == 1
    assert words in errors[0]


def test_carla_names_what_is_missing():
    refuses("interface is 'radio'; use one of bridge, native", "interface:=radio")
    refuses("no CARLA server at localhost:1 ", "interface:=native", "port:=1")
    try:
        get_package_share_directory("carla_ros_bridge")
    except PackageNotFoundError:
        refuses("package carla_ros_bridge is not installed")


def test_carla_records_the_run(tmp_path):
    if shutil.which("ros2") is None or subprocess.run(["ros2", "bag", "--help"], check=False).returncode:
        pytest.skip("ros2 bag is not installed")
    process = ros2_launch("attach:=true", f"record:={tmp_path}/run", "device:=cpu", file="carla.launch.py")
    wait_for(process, "Recording")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output
    assert (tmp_path / "run" / "metadata.yaml").is_file()
    refuses("which is there already; name another folder", "attach:=true", f"record:={tmp_path}/run")


def test_the_simulator_closes_the_loop(tmp_path):
    """One street, the shipped weights, all nodes: twelve simulated seconds in lane."""
    figures, report = tmp_path / "figures.json", tmp_path / "report"
    options = ["seconds:=12", "fps:=5", "size:=320x240", f"json:={figures}", f"report:={report}"]
    command = ["ros2", "launch", "vidseg_ros", "sim.launch.py", *options]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0
    assert "Traceback" not in result.stdout
    driven, seen = json.loads(figures.read_text()), json.loads((report / "metrics.json").read_text())
    assert driven["completed_m"] > 60
    assert driven["collisions"] == 0
    assert seen["frames"] > 40
    assert seen["miou"] > 30
    assert not seen["problems"]  # each frame met its picture
    assert "data:image/jpeg" in (report / "report.html").read_text()
