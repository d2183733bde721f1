"""A signal while an executable imports is one line and the exit code of shells, and so it is in all verbs."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vidseg_ros import start
from vidseg_ros.cli.main import main

RUN = "import sys; sys.argv = {words!r}; from vidseg_ros import start; sys.exit(start.{name}())"
SLOW = (  # an import that takes long, and turns an interrupt into an error of its own
    "import sys, time\n"
    "print('importing', flush=True)\n"
    "try:\n    time.sleep(60)\nexcept BaseException:\n    raise ImportError('half imported') from None\n"
)
EXECUTABLES = {"vidseg": "vidseg replay", "segmentation": "segmentation_node", "driver": "driver_node",
               "evaluator": "evaluator_node"}  # fmt: skip


CODES = {signal.SIGINT: start.INTERRUPTED, signal.SIGTERM: start.TERMINATED}


def test_exit_codes_are_those_of_shells():
    assert [code - number for number, code in CODES.items()] == [128, 128]


@pytest.mark.parametrize(
    ("name", "number"), [*((name, signal.SIGINT) for name in EXECUTABLES), ("vidseg", signal.SIGTERM)]
)
def test_a_signal_during_the_imports_is_one_line(name, number, tmp_path):
    (tmp_path / "numpy.py").write_text(SLOW)
    words = ["vidseg", "replay"] if name == "vidseg" else [name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(words=words, name=name)], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (CODES[number], f"{EXECUTABLES[name]} was interrupted\n")


@pytest.mark.parametrize("number", CODES)
def test_a_signal_later_is_one_line_too(number, monkeypatch, capsys):
    before = signal.getsignal(number)
    monkeypatch.setattr("vidseg_ros.cli.evaluate.main", lambda options: signal.raise_signal(number))
    assert main(["evaluate", "a", "b"]) == CODES[number]
    assert capsys.readouterr().err == "vidseg evaluate was interrupted\n"
    assert signal.getsignal(number) == before


def test_what_comes_twice_at_once_is_meant_once(monkeypatch):
    """timeout(1) sends it to the process and to its group: the second one must not break the clean-up of the first."""
    times = iter([0.0, 0.5, 2.0])
    monkeypatch.setattr(start.time, "monotonic", lambda: next(times))
    termination = start.Termination()
    assert not termination.came
    with pytest.raises(KeyboardInterrupt):
        termination(signal.SIGTERM, None)
    termination(signal.SIGTERM, None)
    assert termination.came
    with pytest.raises(KeyboardInterrupt):
        termination(signal.SIGTERM, None)


def test_a_handler_that_came_later_stays():
    """As that of a node, which ignores signals when it has ended."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with start.handling([signal.SIGTERM], start.Termination()):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_was_set_before_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with start.quitting("x"):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with start.quitting("x"):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
