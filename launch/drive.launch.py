"""What a vehicle on CARLA's topics needs: segmentation of its camera, the evaluator and, on request, the driver.

sim.launch.py and carla.launch.py include it; alone, it attaches to whatever publishes the topics of ``role_name``.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import TextSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SEGMENTATION = Path(get_package_share_directory("vidseg_ros")) / "launch" / "seg.launch.py"
ARGUMENTS = {
    "role_name": ("ego_vehicle", "name of the vehicle on its topics"),
    "interface": (
        "bridge",
        "bridge (CARLA's, or the street world) or native (server with --ros2): how semantic images are encoded",
    ),
    "carla_version": ("", "decides what semantic tags and colours mean"),
    "label_set": ("", "label set of the model: camvid or cityscapes"),
    "camera": ("rgb_front", "camera to segment"),
    "semantic": ("semantic_segmentation_front", "camera with its ground truth"),
    "model": ("", "checkpoint (.safetensors) or name of shipped weights"),
    "device": ("", "auto, cpu, cuda, cuda:1, ..."),
    "driver": ("false", "true drives by the labels"),
    "control": ("", "auto, carla, ackermann or joy: message of the driver"),
    "cruise": ("", "speed of the driver, m/s"),
    "report": ("", "folder of the evaluator's report, written at the end"),
}
LOOKS = {"semantic": "semantic", "image": "camera"}  # topics of the evaluator, and the argument that names the camera
REPORTING = "60"  # s for the report, before launch loses its patience


def start_nodes(context):
    value = context.launch_configurations
    vehicle = f"/carla/{value['role_name']}"
    label = ("label", f"{vehicle}/segmentation/label")

    def parameters(**kinds):
        """Return those that are given; the nodes know what is meant by nothing."""
        given = {name: kind for name, kind in kinds.items() if value[name]}
        # with their types: a version such as 0.10 would pass for a number
        typed = {name: ParameterValue(TextSubstitution(text=value[name]), value_type=given[name]) for name in given}
        return [{"use_sim_time": True, **typed}]

    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SEGMENTATION)),
        launch_arguments={
            "image": f"{vehicle}/{value['camera']}/image",
            "namespace": vehicle,
            "use_sim_time": "true",
            **{name: value[name] for name in ("model", "device")},
        }.items(),
    )
    evaluator = Node(
        package="vidseg_ros",
        executable="evaluator_node",
        namespace=vehicle,
        parameters=parameters(label_set=str, interface=str, carla_version=str, report=str),
        remappings=[label, *((name, f"{vehicle}/{value[camera]}/image") for name, camera in LOOKS.items())],
        output="screen",
        sigterm_timeout=REPORTING,
    )
    driver = Node(
        package="vidseg_ros",
        executable="driver_node",
        namespace=vehicle,
        parameters=parameters(label_set=str, control=str, cruise=float),
        remappings=[label, ("camera_info", f"{vehicle}/{value['camera']}/camera_info")],
        output="screen",
    )
    return [segmentation, evaluator, *([driver] if value["driver"] == "true" else [])]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start_nodes)])
