"""What ``record:=`` of carla.launch.py writes down; actions of ROS 2 launch are stood in for."""

import importlib.util
import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

FILE = Path(__file__).parents[2] / "launch" / "carla.launch.py"
VEHICLE = "/carla/hero"
KEPT = (
    f"{VEHICLE}/rgb_front/image", f"{VEHICLE}/rgb_front/camera_info", f"{VEHICLE}/semantic_segmentation_front/image",
    f"{VEHICLE}/odometry", f"{VEHICLE}/vehicle_control_cmd", f"{VEHICLE}/vehicle_control_cmd_joy",
    f"{VEHICLE}/ackermann_control_cmd", f"{VEHICLE}/segmentation/label", f"{VEHICLE}/evaluator/score", "/clock",
    "/diagnostics",
)  # fmt: skip
LEFT_OUT = (f"{VEHICLE}/segmentation/overlay", "/carla/other/rgb_front/image", f"{VEHICLE}/lidar", "/rosout")


@pytest.fixture
def carla_launch(monkeypatch):
    """The launch file as a module."""
    names = ("launch", "launch.actions", "launch.launch_description_sources", "ament_index_python.packages")
    for name in ("ament_index_python", *names):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    sys.modules["ament_index_python.packages"].get_package_share_directory = lambda package: str(FILE.parents[1])
    sys.modules["ament_index_python.packages"].get_package_prefix = lambda package: str(FILE.parents[1])
    spec = importlib.util.spec_from_file_location("carla_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_run_is_recorded_on_request(carla_launch, tmp_path):
    assert carla_launch.start_recorder({"record": "", "role_name": "hero"}) == []
    folder = str(tmp_path / "run")
    assert len(carla_launch.start_recorder({"record": folder, "role_name": "hero"})) == 1
    command = carla_launch.ExecuteProcess.call_args.kwargs["cmd"]
    assert command[:3] == ["ros2", "bag", "record"]
    assert command[command.index("--output") + 1] == folder
    chosen = re.compile(command[command.index("--regex") + 1])
    assert all(chosen.fullmatch(topic) for topic in KEPT)
    assert not any(chosen.search(topic) for topic in LEFT_OUT)


def test_a_bag_that_is_there_is_not_written_over(carla_launch, tmp_path):
    with pytest.raises(RuntimeError, match="which is there already; name another folder"):
        carla_launch.start_recorder({"record": str(tmp_path), "role_name": "hero"})
