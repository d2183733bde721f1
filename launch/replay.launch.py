"""Play a bag into the segmentation node and record its answers, in real time, as deployed.

``ros2 launch vidseg_ros replay.launch.py bag:=drive image:=/camera/image_raw output:=answers``

The bag starts when the node is ready. Arguments of seg.launch.py are understood, too.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessIO
from launch.launch_description_sources import PythonLaunchDescriptionSource

SEG = Path(get_package_share_directory("vidseg_ros")) / "launch" / "seg.launch.py"
DELAY = "2"  # seconds in which the recorder finds the node, and the node the player
READY = b"segmenting "  # what the node says when it is active
OUTPUTS = ("label", "color", "overlay")
ARGUMENTS = {
    "bag": (None, "bag to play"),
    "output": ("replayed", "bag to write"),
    "rate": ("1.0", "how many times as fast as recorded"),
    "loop": ("false", "true plays the bag again and again, until interrupted"),
    "namespace": ("", "namespace of the node"),
}


def play(value):
    """Return the player; all ends with it."""
    loop = ["--loop"] if value["loop"] == "true" else []
    command = ["ros2", "bag", "play", value["bag"], "--clock", "--rate", value["rate"], "--delay", DELAY, *loop]
    return ExecuteProcess(cmd=command, name="player", output="screen", on_exit=[Shutdown(reason="the bag is over")])


def record(value):
    """Return the recorder."""
    node = "/".join(["", *filter(None, [value["namespace"].strip("/")]), "segmentation"])
    topics = [*(f"{node}/{output}" for output in OUTPUTS), "/diagnostics"]
    command = ["ros2", "bag", "record", "--storage", "mcap", "--use-sim-time", "--output", value["output"], "--topics"]
    return ExecuteProcess(cmd=[*command, *topics], name="recorder", output="screen")


def start_all(context):
    """Start recorder and player once the node is ready."""
    value = dict(context.launch_configurations)
    started = []

    def on_output(event):
        if READY in event.text and not started:
            started.append(True)
            return [record(value), play(value)]
        return None

    return [RegisterEventHandler(OnProcessIO(on_stdout=on_output, on_stderr=on_output))]


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SEG)), launch_arguments={"use_sim_time": "true"}.items()
    )
    # the handler first: it must hear the node from its first word
    return LaunchDescription([*declared, OpaqueFunction(function=start_all), node])
