"""ament_python package; also installable with pip."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "vidseg_ros"
SHARE = f"share/{NAME}"
PROFILES = [f"{NAME}/ros/fastdds.xml", f"{NAME}/ros/fastdds_large.xml"]

setup(
    name=NAME,
    version="0.1.0",  # literally: catkin_prepare_release sets it here and in package.xml
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["weights/*", "ros/*.xml", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/launch", sorted(map(str, Path("launch").glob("*.launch.py")))),
        (f"{SHARE}/config", [*sorted(map(str, Path("config").glob("*.*"))), *PROFILES]),
        (f"{SHARE}/config/security", ["config/security/policy.xml"]),
        (f"{SHARE}/config/train", sorted(map(str, Path("config/train").glob("*.yaml")))),
        # pip installs console scripts into bin/; `ros2 run` and launch look here
        (
            f"lib/{NAME}",
            [f"resource/{name}" for name in ("segmentation_node", "driver_node", "evaluator_node", "vidseg")],
        ),
    ],
    install_requires=[
        "av>=14",  # the time of each frame of a video, which OpenCV does not tell
        "lz4>=4",  # bounds what chunks of bags unpack to; rosbags brings it, too
        "numpy>=1.26",  # arrays
        "opencv-python-headless>=4.6",  # resizing, colouring, image files
        "pyyaml>=6",  # configuration files
        "rich>=13",  # tables and progress
        "rosbags>=0.10",  # bags without ROS
        "rosbags-image>=0.10",  # image messages to arrays where cv_bridge is missing
        "safetensors>=0.4",  # checkpoints that cannot run code
        "torch>=2.4",  # the networks
        "torchmetrics>=1.4",  # accumulation of metrics, also over several processes
    ],
    extras_require={
        # what a ROS 2 distribution brings, from PyPI
        "ros": [
            "ros-jazzy-rclpy",
            "ros-jazzy-rmw-fastrtps-cpp",
            "ros-jazzy-sensor-msgs",
            "ros-jazzy-std-srvs",
            "ros-jazzy-diagnostic-msgs",
            "ros-jazzy-lifecycle-msgs",
            "ros-jazzy-nav-msgs",
            "ros-jazzy-rosgraph-msgs",
        ],
        # ``vidseg train``; a robot does without
        "train": [
            "lightning>=2.6",  # phases, precision, several processes, resuming
            "tensorboard>=2.14",  # curves
        ],
        # faster engines and files for other runtimes
        "openvino": ["openvino>=2025.0"],  # the fastest on a CPU
        "int8": ["nncf>=2.14", "openvino>=2025.0"],  # quantises for OpenVINO
        "onnx": [
            "onnx>=1.17",  # the file format
            "onnxruntime>=1.20",  # runs it
            "onnxscript>=0.5",  # torch.onnx writes it with this
        ],
        "teacher": ["transformers>=4.40"],  # vidseg pseudo-label with models of Hugging Face
        "ray": ["ray>=2.10"],  # vidseg replay over several machines
        "carla": ["carla>=0.9.14; python_version < '3.13'"],  # vidseg record-carla: the client of the simulator
        # ``make test``; ``colcon test`` runs pytest because it stands here
        "test": ["hypothesis", "matplotlib", "mypy", "pytest", "ruff", "types-PyYAML"],
        # the lines that no test runs; not in "test", or ``colcon test`` measures too, and misses the floor
        "coverage": ["pytest-cov"],
        "dds": ["cyclonedds"],  # another DDS reads what the node sends
        # fuzzing of bytes, led by the lines they reach; wheels for one kind of machine only
        "bytes": ["atheris>=3; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version >= '3.11'"],
        "parallel": ["pytest-xdist"],  # two files of tests at a time: half the wait of `make test`
    },
    python_requires=">=3.10",
    zip_safe=False,
    maintainer="vidseg_ros maintainers",
    maintainer_email="maintainers@vidseg-ros.org",
    description="Temporally consistent semantic segmentation for ROS 2",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "segmentation_node = vidseg_ros.start:segmentation",
            "driver_node = vidseg_ros.start:driver",
            "evaluator_node = vidseg_ros.start:evaluator",
            "vidseg = vidseg_ros.start:vidseg",
        ],
    },
)
