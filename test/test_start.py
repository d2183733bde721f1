"""An interrupt while an executable imports is one line and exit code 130."""

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


@pytest.mark.parametrize("name", EXECUTABLES)
def test_an_interrupt_during_the_imports_is_one_line(name, tmp_path):
    (tmp_path / "numpy.py").write_text(SLOW)
    words = ["vidseg", "replay"] if name == "vidseg" else [name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(words=words, name=name)], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (start.INTERRUPTED, f"{EXECUTABLES[name]} was interrupted\n")


def test_an_interrupt_later_is_one_line_too(monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("vidseg_ros.cli.evaluate.main", interrupt)
    assert main(["evaluate", "a", "b"]) == start.INTERRUPTED
    assert capsys.readouterr().err == "vidseg evaluate was interrupted\n"


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
