"""Start the segmentation node: ``ros2 launch vidseg_ros seg.launch.py image:=/camera/image_raw``."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import TextSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PARAMS_FILE = Path(get_package_share_directory("vidseg_ros")) / "config" / "seg.yaml"
ARGUMENTS = {
    "params_file": (str(PARAMS_FILE), "YAML file with the parameters of the node"),
    "image": ("image", "image topic of the camera"),
    "namespace": ("", "namespace of the node"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    # empty: as in params_file
    "use_sim_time": ("", "true takes time from /clock"),
    "model": ("", "checkpoint (.safetensors) or name of shipped weights"),
    "device": ("", "auto, cpu, cuda, cuda:1, ..."),
    "memory": ("", "what is remembered: auto, network, flow or off"),
    "warped": ("", "1 moves what a ConvLSTM and the hysteresis remember along the optical flow, 0 does not"),
    "flow": ("", "what estimates optical flow: auto, dis:ultrafast, dis:fast, dis:medium or FILE.onnx"),
    "image_transport": ("", "raw or compressed"),
}
OVERRIDES = {
    "model": str,
    "device": str,
    "memory": str,
    "warped": int,
    "flow": str,
    "image_transport": str,
    "use_sim_time": bool,
}


def start_node(context):
    value = context.launch_configurations
    given = {name: kind for name, kind in OVERRIDES.items() if value[name]}
    # a plain 'true' is refused where a bool is wanted; a substitution is converted
    overrides = {
        name: ParameterValue(TextSubstitution(text=value[name]), value_type=kind) for name, kind in given.items()
    }
    node = Node(
        package="vidseg_ros",
        executable="segmentation_node",
        name="segmentation",
        namespace=value["namespace"],
        parameters=[value["params_file"], overrides],
        remappings=[("image", value["image"]), ("image/compressed", f"{value['image']}/compressed")],
        arguments=["--ros-args", "--log-level", value["log_level"]],
        output="screen",
    )
    return [node]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start_node)])
