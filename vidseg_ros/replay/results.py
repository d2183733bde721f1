"""The files of a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vidseg_ros.checkpoint import write_whole
from vidseg_ros.replay.report import TIMES, report, times
from vidseg_ros.replay.run import LATENCY
from vidseg_ros.replay.summary import Summary

METRICS, REPORT = "metrics.json", "report.html"


def write_report(title: str, summary: Summary, folder: Path) -> dict[str, Any]:
    """Write report.html and metrics.json to ``folder``, and the times beside them; returns the metrics."""
    metrics = summary.metrics()
    for name, figures in ((METRICS, metrics), (LATENCY, summary.latency())):
        write_whole(folder / name, (json.dumps(figures, indent=2) + "\n").encode())
    for name, page in ((TIMES, times(summary)), (REPORT, report(title, summary))):
        write_whole(folder / name, page.encode())
    return metrics
