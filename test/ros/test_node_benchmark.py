"""``vidseg benchmark --node`` and what it measures with."""

import json
import os
import time

import numpy as np
import pytest

from test.ros.test_process import run
from vidseg_ros.benchmark import memory_mb
from vidseg_ros.cli.main import main
from vidseg_ros.ros.harness.benchmark import Monitor, _first_label, cpu_seconds, together
from vidseg_ros.ros.harness.player import Outcome


def test_the_node_is_timed(checkpoint_file, tmp_path):
    file = tmp_path / "figures.json"
    result = run(
        "benchmark", "--node", "--checkpoint", checkpoint_file, "--engines", "torch", "--sizes", "96x64",
        "--frames", 20, "--json", file,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (result,) = json.loads(file.read_text())["results"]
    assert result["frames"] == {"sent": 20, "received": 20, "processed": 20, "dropped": 0, "rejected": 0, "labels": 20}
    latency = result["latency_ms"]["p50"]
    parts = sum(result[name]["p50"] for name in ("transport_ms", "queue_ms", "read_ms", "step_ms", "publish_ms"))
    assert parts == pytest.approx(latency, rel=0.3)  # medians of parts are not parts of the median
    assert 0 < result["overhead_percent"]["p50"] < 100
    assert result["first_label_s"] > 0
    assert result["cpu_percent"] > 0
    assert len(result["rss_mb"]) == 10
    assert min(result["rss_mb"]) > 50


def test_frames_at_a_rate_may_be_dropped(checkpoint_file, tmp_path):
    file = tmp_path / "figures.json"
    result = run(
        "benchmark", "--node", "--checkpoint", checkpoint_file, "--engines", "torch", "--sizes", "960x640",
        "--frames", 30, "--rate", 1000, "--json", file,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (result,) = json.loads(file.read_text())["results"]
    frames = result["frames"]
    assert frames["sent"] == 30
    assert frames["received"] == frames["processed"] + frames["dropped"]
    assert result["rate"] == 1000


def test_cameras_that_send_more_than_the_network_takes_are_served_alike(checkpoint_file, tmp_path):
    file = tmp_path / "figures.json"
    result = run(
        "benchmark", "--node", "--checkpoint", checkpoint_file, "--engines", "torch", "--sizes", "480x320",
        "--cameras", "1,3", "--frames", 40, "--rate", 200, "--json", file,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    one, three = json.loads(file.read_text())["results"]
    assert (one["cameras"], three["cameras"]) == (1, 3)
    assert one["labels_by_camera"] == [one["frames"]["labels"]]
    frames = three["frames"]
    assert frames["sent"] == 3 * 40
    assert frames["received"] == frames["processed"] + frames["dropped"]
    assert frames["dropped"] > 0
    assert frames["labels"] == sum(three["labels_by_camera"])
    assert max(three["labels_by_camera"]) - min(three["labels_by_camera"]) <= 5


def test_figures_of_cameras_are_joined():
    def camera(labels, p50):
        return {"frames": {"labels": labels}, "latency_ms": {"p50": p50}, "resets": 1}

    joined = together([camera(3, 10.0), camera(5, 20.5), camera(0, None)])
    assert joined == {"frames": {"labels": 8}, "latency_ms": {"p50": 15.25}, "resets": 3}
    assert together([camera(0, None)])["latency_ms"] == {"p50": None}


def test_the_first_label_is_that_of_a_camera_that_was_answered():
    assert _first_label([Outcome(), Outcome(labels=2, first_label=7.5)], 5.0) == 2.5
    assert _first_label([Outcome()], 5.0) is None


def test_several_cameras_need_a_rate(capsys):
    assert main(["benchmark", "--node", "--cameras", "1,4"]) == 2
    assert "--cameras is 4; several cameras with --node need a --rate" in capsys.readouterr().err


def test_processor_time_and_memory_are_those_of_the_process():
    before, start = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() - start < 0.5:
        np.linalg.svd(np.random.default_rng(0).random((100, 100)))
    assert cpu_seconds(os.getpid()) - before == pytest.approx(time.process_time() - start, abs=0.1)
    held = memory_mb("VmRSS")
    block = np.ones(40_000_000)
    assert memory_mb("VmRSS", os.getpid()) - held == pytest.approx(block.nbytes / 2**20, rel=0.1)
    assert memory_mb("VmHWM") >= memory_mb("VmRSS")


def test_one_answer_makes_no_rate():
    monitor = Monitor(os.getpid(), 20)
    monitor.answered("label", 0, None, b"")
    assert monitor.cpu_percent is None


def test_without_ros_one_line(monkeypatch, capsys):
    monkeypatch.setattr("vidseg_ros.cli.common.find_spec", lambda name: None)
    assert main(["benchmark", "--node"]) == 2
    assert "rclpy is not installed; source your ROS 2 setup.bash" in capsys.readouterr().err
