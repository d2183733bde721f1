"""Labels judged while they come, against a replay and against plain counting."""

import json
from itertools import pairwise

import numpy as np
import pytest

from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.labels import CAMVID
from vidseg_ros.replay.online_evaluator import MARK, OnlineEvaluator
from vidseg_ros.replay.sealed import RESULT

COUNTS = {"rejected": 0, "unmatched": 2, "unanswered": 1}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("vidseg_ros.evaluation.bootstrap.RESAMPLES", 20)


def test_the_report_says_what_the_running_figures_say(drive, tmp_path):
    """The labels of the frame before stand in for a network's."""
    evaluator = OnlineEvaluator(CAMVID, 0.5, reported=True)
    for index, (before, now) in enumerate(pairwise(drive)):
        evaluator.add(index / 15, before.labels, now.labels, now.rgb)
        evaluator.took("wall_ms", 10.0 * index)
    running = evaluator.figures()
    right = np.mean([a.labels == b.labels for a, b in pairwise(drive)])
    assert running["acc"] == pytest.approx(100 * right, abs=0.006)
    evaluator.report(tmp_path, ("labels", "truth"), {"interface": "bridge"}, COUNTS, ["rain"])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for name in ("miou", "acc", "cons", "consw", "per_class", "frames"):
        assert metrics[name] == running[name]
    changed = [(a.labels != b.labels).mean() for a, b in pairwise(drive[:-1])]
    assert metrics["flicker"] == pytest.approx(100 * np.mean(changed), abs=0.006)
    assert metrics["recordings"][0]["unanswered"] == 1
    latency = json.loads((tmp_path / "latency.json").read_text())
    assert latency["truth"]["labels"] == {"sim_ms": {"p50": None, "p95": None}, "wall_ms": {"p50": 50.0, "p95": 95.0}}
    page = (tmp_path / "report.html").read_text()
    assert "rain" in page and "interface: bridge" in page and "data:image/jpeg" in page


def test_what_does_not_follow_is_not_compared(tmp_path):
    evaluator = OnlineEvaluator(CAMVID, 0.5, reported=True)
    truth = np.zeros((4, 6), np.uint8)
    for index, stamp in enumerate((10.0, 10.1, 12.0, 12.1, 3.0)):
        reason = evaluator.add(nanoseconds(stamp), np.full_like(truth, index), truth)
        assert reason.split(" by")[0] == {2: "time jumped", 4: "time ran back"}.get(index, "")
    assert "resolution changed" in evaluator.add(nanoseconds(3.1), truth[:2], truth[:2])
    evaluator.report(tmp_path, ("a", "b"), {}, COUNTS, [])
    result = json.loads((tmp_path / "course" / RESULT).read_text())
    assert [reset["frame"] for reset in result["resets"]] == [2, 4, 5]
    pairs = [np.sum(block["flicker"]["counts"][1]) for block in result["courses"][MARK]["blocks"]]
    assert pairs == [0, 24, 0, 24, 0, 0]
    assert evaluator.without_picture == 6
