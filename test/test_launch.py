"""The launch file, run by the real launch where that is installed."""

import os
import signal
import subprocess

import pytest

launch = pytest.importorskip("launch", reason="ROS 2 launch is not installed")
pytest.importorskip("launch_ros", reason="launch_ros is not installed")
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory  # noqa: E402

try:
    get_package_share_directory("vidseg_ros")
except (PackageNotFoundError, LookupError):
    pytest.skip("vidseg_ros is not on AMENT_PREFIX_PATH", allow_module_level=True)


def ros2_launch(*arguments):
    command = ["ros2", "launch", "vidseg_ros", "seg.launch.py", *arguments]
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
    wait_for(process, "segmenting image/compressed")
    stop(process)
