"""How fast engines are, side by side: one process each, rounds in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from vidseg_ros.benchmark import checkout
from vidseg_ros.benchmark.case import DEFAULTS, Case
from vidseg_ros.errors import UserError

UNTUNED = {"GOMP_SPINCOUNT": "300000"}  # what GCC's OpenMP does unless told; see vidseg_ros/__init__.py
CHECKOUT = Path(checkout.__file__)
HERE = CHECKOUT.parents[2]  # the folder of this package


class Runner:
    """A process that runs one case when told to."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._pipe, theirs = Pipe()
        descriptor, root = theirs.fileno(), Path(case.code).resolve() if case.code else HERE
        command = [sys.executable, str(CHECKOUT), str(descriptor), str(root), json.dumps([case.plain(), DEFAULTS])]
        variables = os.environ | (UNTUNED if case.reference else {})
        self._process = subprocess.Popen(command, env=variables, pass_fds=[descriptor])
        theirs.close()
        self.labels = self._answer()
        self.times: list[float] = []

    def round(self, steps: int) -> None:
        """Time so many steps."""
        self._pipe.send(steps)
        self.times += self._answer()

    def finish(self) -> float:
        """End the process; returns its peak memory in MB."""
        self._pipe.send(0)
        peak = self._answer()
        self._process.wait()
        return float(peak)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise UserError(f"engine '{self.case.engine}' ended without an answer; see its error above") from error
        if isinstance(answer, UserError):
            raise answer
        return answer


def compare(
    cases: Sequence[Case], rounds: int, steps: int, advance: Callable[[str], None] = lambda text: None
) -> list[dict[str, Any]]:
    """Time all cases in turn, ``rounds`` times ``steps`` each; the first case of each size is the yardstick."""
    results: list[dict[str, Any]] = []
    runners: list[Runner] = []
    try:
        for case in cases:
            advance(f"starting {case.engine}")
            runners.append(Runner(case))
        for number in range(rounds):
            for runner in runners:
                advance(f"round {number + 1}/{rounds}: {runner.case.engine}")
                runner.round(steps)
        yardsticks = {runner.case.key: runner for runner in reversed(runners)}
        for runner in runners:
            results.append(_result(runner, yardsticks[runner.case.key]))
    finally:
        for runner in runners:
            runner.kill()
    return results


def _result(runner: Runner, yardstick: Runner) -> dict[str, Any]:
    case, p50 = runner.case, statistics.median(runner.times)
    return {
        "engine": case.engine,
        "code": case.code,
        "device": case.config.device,
        "precision": case.config.precision,
        "memory": case.config.memory,
        "size": "{}x{}".format(*case.size),
        "cameras": case.cameras,
        "ms_p50": round(p50, 3),
        "ms_p95": round(float(np.percentile(runner.times, 95)), 3),
        "ratio": round(statistics.median(yardstick.times) / p50, 3),
        "label_agreement": round(100 * float(np.mean(runner.labels == yardstick.labels)), 5),
        "peak_rss_mb": round(runner.finish(), 1),
    }
