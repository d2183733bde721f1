"""Signals at any moment of a start, and what can be wrong before a node is there.

The cases run in children of one process that has imported everything, all at once: an import takes seconds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

NODES = {
    "segmentation": "vidseg_ros.ros.segmentation.node",
    "driver": "vidseg_ros.ros.driving.driver",
    "evaluator": "vidseg_ros.ros.driving.evaluator",
}
MOMENTS = [  # where the signal comes, just before the call
    "rclpy.init",
    "vidseg_ros.ros.segmentation.node.declare_parameters",
    "vidseg_ros.ros.segmentation.node.open_model",
    "vidseg_ros.ros.segmentation.node.publish_label_info",
    "rclpy.lifecycle.LifecycleNode.trigger_activate",
    "rclpy.executors.SingleThreadedExecutor.wait_for_ready_callbacks",
]
WRONG = {  # ROS arguments, environment, what must be said
    "no home": ([], {"HOME": "", "ROS_HOME": "", "ROS_LOG_DIR": ""}, "set HOME or ROS_LOG_DIR"),
    "no log folder": ([], {"ROS_LOG_DIR": "/proc/nowhere"}, "'/proc/nowhere'"),
    "no parameters": (["--params-file", "/no/such.yaml"], {}, "/no/such.yaml"),
    "bad parameters": (["--params-file", __file__], {}, "test_start_and_stop.py"),
    "bad remapping": (["-r", "image"], {}, "-r image"),
    "bad name": (["-r", "__node:=a b"], {}, "a b"),
    "bad option": (["--no-such"], {}, "--no-such"),
    "bad domain": ([], {"ROS_DOMAIN_ID": "home"}, "ROS_DOMAIN_ID"),
}


def run_all(cases, folder):
    """Run cases, each a module, arguments, environment and signal; returns exit status and stderr of each."""
    return ended(begin(cases, folder), cases, folder)


def begin(cases, folder):
    """Start the process that runs the cases; the number of each child comes into the folder."""
    command = [sys.executable, __file__, json.dumps(cases), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def ended(server, cases, folder):
    """Wait for the cases; returns exit status and stderr of each."""
    assert server.wait(300) == 0
    return [(int((folder / f"{i}.status").read_text()), (folder / f"{i}.err").read_text()) for i in range(len(cases))]


def test_a_signal_while_the_node_starts_ends_it_cleanly(checkpoint_file, tmp_path):
    """Felt, as an interrupt of Python; or lost in a library, so that all that follows fails in rclpy."""
    settings = ["-p", f"model:={checkpoint_file}", "-p", "engine:=torch", "-p", "device:=cpu"]
    signals = [(where, name, felt) for where in MOMENTS for name in ("SIGINT", "SIGTERM") for felt in (True, False)]
    signals = [each for each in signals if each[0] != "rclpy.init" or each[2]]  # rclpy cannot be shut down yet
    cases = [(NODES["segmentation"], settings, {}, each) for each in signals]
    for case, (status, said) in zip(signals, run_all(cases, tmp_path), strict=True):
        assert status == 0, (case, said)
        assert "Traceback" not in said and "ERROR" not in said, (case, said)


def test_what_rclpy_does_not_start_with_is_one_line(tmp_path):
    cases = [(NODES["driver"], arguments, environment, None) for arguments, environment, _ in WRONG.values()]
    cases += [(module, ["--params-file", "/no/such.yaml"], {}, None) for module in NODES.values()]
    problems = [problem for *_, problem in WRONG.values()] + ["/no/such.yaml"] * len(NODES)
    for case, problem, (status, said) in zip(cases, problems, run_all(cases, tmp_path), strict=True):
        assert (status, said.count("\n")) == (2, 1), (case, said)
        assert problem in said


def test_nodes_whose_qos_cannot_be_overridden_say_so(tmp_path):
    signal, name = (MOMENTS[-1], "SIGINT", True), "qos_overrides./image.subscription.depth"
    cases = [(NODES[node], ["-p", f"{name}:=3"], {}, signal) for node in ("driver", "evaluator")]
    for case, (status, said) in zip(cases, run_all(cases, tmp_path), strict=True):
        assert (status, said.count("WARN")) == (0, 1), (case, said)
        assert f"unknown parameter '{name}' is ignored" in said


def test_the_simulator_says_it_in_one_line():
    command = [sys.executable, "-m", "vidseg_ros", "simulate"]
    environment = {**os.environ, "ROS_LOG_DIR": "/proc/nowhere"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr


# -- the process whose children run the cases


def serve(cases, folder):
    """Run each case in a child and write its exit status and stderr to the folder."""
    from importlib import import_module  # noqa: PLC0415

    from vidseg_ros.files import write_atomic  # noqa: PLC0415

    for module in NODES.values():
        import_module(module)
    children = {}
    for number, case in enumerate(cases):
        child = os.fork()
        if child == 0:
            with (folder / f"{number}.err").open("w") as file:
                os.dup2(file.fileno(), 2)
            os._exit(become(*case))  # without the end of the interpreter, which takes a second
        children[child] = number
        write_atomic(folder / f"{number}.pid", str(child).encode())
    for child, number in children.items():
        _, status = os.waitpid(child, 0)
        (folder / f"{number}.status").write_text(str(os.waitstatus_to_exitcode(status)))


def become(module, arguments, environment, signalled):
    """Run a node in this child until it ends, a minute at most; returns its exit status."""
    import signal  # noqa: PLC0415
    import traceback  # noqa: PLC0415
    from contextlib import nullcontext  # noqa: PLC0415
    from importlib import import_module  # noqa: PLC0415

    signal.alarm(60)
    os.environ.update(environment)
    for name in (name for name, value in environment.items() if not value):
        del os.environ[name]
    try:
        with interrupting(*signalled) if signalled else nullcontext():
            return import_module(module).main([module, "--ros-args", *arguments])
    except BaseException:  # os._exit would lose it
        traceback.print_exc()
        return 1


def interrupting(where, name, felt):
    """Patch the function ``where``: the signal comes before it is called."""
    import signal  # noqa: PLC0415
    import time  # noqa: PLC0415
    from pkgutil import resolve_name  # noqa: PLC0415
    from unittest import mock  # noqa: PLC0415

    real = resolve_name(where)

    def signalled(*arguments, **options):
        try:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(0.3)  # rclpy shuts down on a thread of its own
        except KeyboardInterrupt:
            if felt:
                raise
        return real(*arguments, **options)

    return mock.patch(where, signalled)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), Path(sys.argv[2]))
