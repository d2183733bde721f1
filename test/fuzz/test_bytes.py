"""Bytes that find their own way into the readers: a result, or one line."""

import json
import subprocess
import sys

import pytest

from test.fuzz.drawing import SMALL

pytest.importorskip("atheris")


def test_no_bytes_end_in_anything_but_a_result_or_one_line(pytestconfig):
    command = [sys.executable, "-m", "test.fuzz.readers", str(SMALL)]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held = json.loads(done.stdout.splitlines()[-1])
    assert len(held) == 6 and all(held.values())
    assert done.stderr.count(f"Done {SMALL} runs") == len(held)
