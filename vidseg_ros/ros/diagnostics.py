"""Counters and latencies of one camera, and how they look in /diagnostics."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from vidseg_ros.ros.transport import ADVICE

WINDOW = 200  # latest frames of which the percentiles are taken
ONLY_CAMERA = "camera"  # what a camera without a name is called
TIMES = ("queue_ms", "read_ms", "step_ms", "flow_ms", "model_ms", "publish_ms", "total_ms")
"""Waiting for the network; message to RGB; resizing, network and waiting for other cameras of the batch, of which the
optical flow and the network alone; building and sending messages; all of it from the arrival of the message."""


RECENT, MANY = 20, 5  # frames, and how many of them may not reset the state: little memory would be left


@dataclass
class Statistics:
    """What happened to the frames of one camera: received = processed + dropped + rejected + at most two under way."""

    received: int = 0
    processed: int = 0
    dropped: int = 0  # replaced by a newer frame while the network was busy
    rejected: int = 0  # held no usable image
    resets: int = 0
    repeated: int = 0  # had the stamp of the frame before
    last_problem: str = ""
    last_reset: str = ""  # why
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))  # whether frames reset the state
    times: dict[str, deque[float]] = field(default_factory=lambda: {name: deque(maxlen=WINDOW) for name in TIMES})

    def values(self) -> dict[str, str]:
        """Return the figures by the names that users see; milliseconds have two decimals."""
        counters = ("received", "processed", "dropped", "rejected", "resets", "repeated")
        figures = {name: str(getattr(self, name)) for name in counters}
        # copied at once: the worker appends meanwhile
        for name, samples in ((name, list(times)) for name, times in self.times.items()):
            for percent in (50, 95):
                figures[f"{name}_p{percent}"] = f"{np.percentile(samples, percent):.2f}" if samples else "nan"
        return figures | {"last_problem": self.last_problem}


class Reporter:
    """Turns statistics into a DiagnosticStatus; warns while new problems arrive."""

    def __init__(self, name: str, hardware: str, topic: str) -> None:
        self._name, self._hardware, self._topic = name, hardware, topic
        self._seen = (0, 0)  # received, rejected at the last report

    def status(self, statistics: Statistics, active: bool, partners: dict[str, int]) -> DiagnosticStatus:
        """Report what happened since the last call.

        ``partners``: how many ``publishers`` the input has found, and how many outputs have ``listeners``.
        """
        received, rejected = statistics.received - self._seen[0], statistics.rejected - self._seen[1]
        self._seen = (statistics.received, statistics.rejected)
        problem = "not active"
        if active:
            problem = self._problem(statistics, received, rejected, partners["publishers"])
        level, text = (DiagnosticStatus.WARN, problem) if problem else (DiagnosticStatus.OK, "segmenting")
        values = statistics.values() | {name: str(count) for name, count in partners.items()}
        return make_status(self._name, self._hardware, level, text, values)

    def _problem(self, statistics: Statistics, received: int, rejected: int, publishers: int) -> str:
        """What is wrong with the input, the worst first, or ""; ``received`` and ``rejected`` since the last call."""
        if rejected:
            return f"{rejected} bad frames: {statistics.last_problem}"
        if not publishers:
            return f"nobody publishes {self._topic}; check its name and QoS"
        if not received:
            return f"no new image on {self._topic}; {ADVICE}"
        if publishers > 1:
            return f"{publishers} publishers on {self._topic}; each camera needs a topic of its own"
        if (resets := sum(statistics.recent)) >= MANY:
            return (
                f"the state was reset at {resets} of the last {len(statistics.recent)} frames: {statistics.last_reset}"
            )
        return ""


def make_status(name: str, hardware: str, level: bytes, text: str, values: dict[str, str]) -> DiagnosticStatus:
    """Build the message."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=text, hardware_id=hardware, values=pairs)
