"""Close the loop without CARLA: street world, segmentation, evaluator and driver on one machine.

``ros2 launch vidseg_ros sim.launch.py seconds:=20 report:=report``

Arguments of drive.launch.py are understood, too.
"""

from pathlib import Path

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, IncludeLaunchDescription, OpaqueFunction
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource

DRIVE = Path(get_package_share_directory("vidseg_ros")) / "launch" / "drive.launch.py"
VIDSEG = Path(get_package_prefix("vidseg_ros")) / "lib" / "vidseg_ros" / "vidseg"
OPTIONS = {  # of vidseg simulate, which knows what is meant by nothing
    "seed": ("", "which street"),
    "size": ("", "WIDTHxHEIGHT of the camera"),
    "fps": ("", "frames a second of the camera"),
    "weather": ("", "drawn, sunny, overcast, rain, fog or dusk"),
    "seconds": ("", "simulated time after which all ends; empty: endless"),
    "json": ("", "file of the figures of the driving, written at the end"),
}
ARGUMENTS = OPTIONS | {
    "realtime": ("false", "true does not wait for control after each frame"),
    "driver": ("true", "false leaves the driving to others"),
    "model": ("espnet_street", "checkpoint (.safetensors) or name of shipped weights"),
}


def start_simulation(context):
    value = context.launch_configurations
    command = [str(VIDSEG), "simulate", "--role", value["role_name"], "--interface", value["interface"]]
    command += [word for name in OPTIONS if value[name] for word in (f"--{name}", value[name])]
    command += ["--realtime"] if value["realtime"] == "true" else []
    return [ExecuteProcess(cmd=command, output="screen", on_exit=EmitEvent(event=Shutdown()))]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    vehicle = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(DRIVE)))
    return LaunchDescription([*declared, vehicle, OpaqueFunction(function=start_simulation)])
