"""Holds the fences of docs/architecture.md: imports run downwards, and each runtime has one home."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PACKAGE = Path(__file__).parents[1] / "vidseg_ros"
BASE = {"errors", "aliases"}
PLAIN = BASE | {"schema", "labels", "files"}
FRAMES = PLAIN | {"io", "flow"}
NETWORKS = PLAIN | {"flow", "networks", "checkpoints"}
RUN = NETWORKS | {"io", "engines", "stream"}
ALLOWED = {
    "errors": set(),
    "aliases": set(),
    "labels": BASE,
    "schema": BASE,
    "files": BASE,
    "flow": BASE | {"schema"},
    "io": PLAIN,
    "networks": PLAIN | {"flow"},
    "losses": PLAIN | {"flow"},
    "metrics": PLAIN | {"flow"},
    "checkpoints": PLAIN | {"flow", "networks"},
    "teachers": NETWORKS,
    "driving": PLAIN,
    "carla": PLAIN | {"io", "simulation"},
    "simulation": PLAIN | {"driving"},
    "data": FRAMES | {"simulation"},
    "engines": NETWORKS,
    "stream": NETWORKS | {"io", "engines"},
    "bidirectional": RUN | {"flow"},
    "evaluation": RUN | {"flow", "metrics", "data", "bidirectional"},
    "training": RUN | {"losses", "data", "evaluation", "teachers"},
    "benchmark": RUN | {"flow", "simulation"},
    "replay": RUN | {"flow", "data", "evaluation", "bidirectional"},
    "pseudo_labels": FRAMES | {"checkpoints", "engines", "networks", "teachers", "data"},
    "closed_loop": RUN | {"driving", "evaluation", "simulation"},
    "ros": RUN | {"benchmark", "carla", "driving", "replay", "simulation"},
    "cli": None,  # may use everything
    "start": set(),  # imports what it starts by name
    "__main__": {"start"},
    "__init__": {"engines", "schema", "stream"},  # for open_stream
}
ROS_ONLY = {"rclpy", "sensor_msgs", "std_msgs", "std_srvs", "diagnostic_msgs", "rcl_interfaces"}
IO_ONLY = {"av", "cv_bridge", "rosbags"}
ROS_ONLY |= {"nav_msgs", "rosgraph_msgs", "carla_msgs", "ackermann_msgs"}


def imports(file):
    """Yield the dotted names that a file imports, absolute."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = sorted(PACKAGE.rglob("*.py"))


def home(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_run_downwards(file):
    allowed = ALLOWED[home(file)]
    modules = {p.stem for p in PACKAGE.iterdir()}
    used = {n.split(".")[1] for n in imports(file) if n.startswith("vidseg_ros.")} & modules - {home(file)}
    assert allowed is None or used <= allowed


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_ros_lives_in_ros_only(file):
    used = {name.split(".")[0] for name in imports(file)}
    assert home(file) == "ros" or not used & ROS_ONLY
    assert home(file) == "io" or not used & IO_ONLY


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_runtimes_live_in_engines_and_learned_flow_only(file):
    used = {name.split(".")[0] for name in imports(file)}
    mine = {"onnxruntime"} if file == PACKAGE / "flow/learned.py" else set()
    assert home(file) == "engines" or not used & {"openvino", "nncf", "onnx", "onnxruntime", "tensorrt"} - mine


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_carla_lives_in_carla_only(file):
    assert home(file) == "carla" or "carla" not in {name.split(".")[0] for name in imports(file)}


def test_offline_work_needs_no_ros():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['rclpy', 'sensor_msgs', 'cv_bridge', 'launch', 'carla']));"
        "import vidseg_ros, vidseg_ros.evaluation.evaluator, vidseg_ros.training.trainer;"
        "import vidseg_ros.cli.evaluate, vidseg_ros.cli.train, vidseg_ros.cli.import_weights, vidseg_ros.cli.demo;"
        "import vidseg_ros.cli.export, vidseg_ros.cli.benchmark, vidseg_ros.cli.replay, vidseg_ros.cli.pseudo_label;"
        "import vidseg_ros.cli.export, vidseg_ros.cli.benchmark, vidseg_ros.cli.simulate, vidseg_ros.cli.record_carla"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_functions_and_files_stay_small():
    for file in FILES:
        assert len(file.read_text().splitlines()) <= 400, file
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 45, f"{file}:{node.lineno} {node.name} is long"


def test_only_training_needs_lightning():
    for file in FILES:
        used = {name.split(".")[0] for name in imports(file)}
        assert home(file) == "training" or not used & {"lightning", "tensorboard"}, file
    code = (
        "import sys; sys.modules['lightning'] = None;"
        "import vidseg_ros.evaluation.evaluator, vidseg_ros.cli.main, vidseg_ros.cli.evaluate, vidseg_ros.cli.train"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tests_run_with_as_many_threads_as_conftest_says():
    """OpenMP reads it once, when torch is imported; two workers with two threads each take twice as long."""
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])
