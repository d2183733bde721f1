"""CARLA with segmentation of the ego camera, the evaluator and, on request, the driver.

``ros2 launch vidseg_ros carla.launch.py`` over the ROS bridge; ``interface:=native`` with a server that has ``--ros2``.
Arguments of drive.launch.py are understood, too.
"""

import socket
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource

SHARE = Path(get_package_share_directory("vidseg_ros"))
DRIVE = PythonLaunchDescriptionSource(str(SHARE / "launch" / "drive.launch.py"))
VIDSEG = Path(get_package_prefix("vidseg_ros")) / "lib" / "vidseg_ros" / "vidseg"
BRIDGE = {  # arguments of the bridge
    "host": ("localhost", "of the CARLA server"),
    "port": ("2000", "of the CARLA server"),
    "timeout": ("10", "s to wait for the server"),
    "town": ("Town01", "map to load"),
    "passive": ("False", "True: another client ticks the server"),
    "synchronous_mode": ("True", "step by step"),
    "synchronous_mode_wait_for_vehicle_control_command": ("False", "True: each step waits for the driver"),
    "fixed_delta_seconds": ("0.05", "length of a step, s, below 0.1"),
}
ARGUMENTS = BRIDGE | {
    "sensors": (str(SHARE / "config" / "carla_sensors.json"), "JSON file with the vehicle and its sensors"),
    "attach": ("false", "true: bridge and vehicle run already"),
    "record": ("", "bag to write: cameras, odometry, control, labels and scores of the run"),
}


def require_server(host, port, timeout):
    try:
        socket.create_connection((host, int(port)), float(timeout)).close()
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no CARLA server at {host}:{port} ({error}); start it, or set host and port") from None


def require_bridge():
    for package in ("carla_ros_bridge", "carla_spawn_objects"):
        try:
            get_package_share_directory(package)
        except PackageNotFoundError:
            raise RuntimeError(
                f"package {package} is not installed; build the CARLA ROS bridge, or use interface:=native"
            ) from None


def included(package, file, arguments):
    source = PythonLaunchDescriptionSource(str(Path(get_package_share_directory(package)) / file))
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())


def start_bridge(value):
    require_bridge()
    require_server(value["host"], value["port"], value["timeout"])
    common = {name: value[name] for name in BRIDGE}
    bridge = included(
        "carla_ros_bridge", "carla_ros_bridge.launch.py", {**common, "ego_vehicle_role_name": value["role_name"]}
    )
    vehicle = {"role_name": value["role_name"], "objects_definition_file": value["sensors"]}
    return [bridge, included("carla_spawn_objects", "carla_example_ego_vehicle.launch.py", vehicle)]


def start_native(value):
    require_server(value["host"], value["port"], value["timeout"])
    names = ("host", "port", "town", "sensors", "fixed_delta_seconds")
    options = [word for name in names for word in (f"--{name.replace('_', '-')}", value[name])]
    command = [str(VIDSEG), "spawn-carla", "--role", value["role_name"], *options]
    return [ExecuteProcess(cmd=command, output="screen")]


RECORDED = "|".join(  # below the vehicle: what a replay and the evaluator need, and what was made of it
    (
        r"(rgb_front|semantic_segmentation_front)/(image|camera_info)",
        "odometry",
        "(vehicle|ackermann)_control_cmd(_joy)?",
        "segmentation/label(_info)?",
        "evaluator/score",
    )
)


def start_recorder(value):
    """Return the recorder of the run, where one is asked for."""
    if not value["record"]:
        return []
    if Path(value["record"]).exists():
        raise RuntimeError(f"record is '{value['record']}', which is there already; name another folder")
    topics = f"/carla/{value['role_name']}/({RECORDED})|/clock|/diagnostics"
    command = ["ros2", "bag", "record", "--storage", "mcap", "--output", value["record"], "--regex", topics]
    return [ExecuteProcess(cmd=command, name="recorder", output="screen")]


INTERFACES = {"bridge": start_bridge, "native": start_native}


def start(context):
    value = context.launch_configurations
    if value["interface"] not in INTERFACES:
        raise RuntimeError(f"interface is '{value['interface']}'; use one of {', '.join(INTERFACES)}")
    starting = [] if value["attach"] == "true" else INTERFACES[value["interface"]](value)
    # the server's own Fast DDS is of another version than ours
    udp = [SetEnvironmentVariable("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")] if value["interface"] == "native" else []
    return [*udp, *start_recorder(value), *starting]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    # declared before and included after: what is wrong is said before anything runs
    more = DRIVE.try_get_launch_description_without_context().get_launch_arguments()
    return LaunchDescription([*declared, *more, OpaqueFunction(function=start), IncludeLaunchDescription(DRIVE)])
