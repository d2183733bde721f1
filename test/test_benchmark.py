import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vidseg_ros import benchmark
from vidseg_ros.benchmark import Case, compare, machine, machine_floor, multiply_adds
from vidseg_ros.cli.main import main
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError

PACKAGE = Path(benchmark.__file__).parents[1]
KEYS = {
    "engine",
    "code",
    "device",
    "precision",
    "memory",
    "size",
    "cameras",
    "ms_p50",
    "ms_p95",
    "ratio",
    "label_agreement",
    "peak_rss_mb",
}


def run(checkpoint_file, *words):
    return main(["benchmark", "--checkpoint", str(checkpoint_file), *map(str, words)])


def test_engines_side_by_side(checkpoint_file, tmp_path, capsys):
    file = tmp_path / "figures.json"
    words = ("--engines", "torch", "--sizes", "96x64", "--cameras", "1,2", "--rounds", 2, "--steps", 3, "--json", file)
    assert run(checkpoint_file, *words) == 0
    figures = json.loads(file.read_text())
    assert [(r["engine"], r["cameras"]) for r in figures["results"]] == [
        ("reference", 1),
        ("torch", 1),
        ("reference", 2),
        ("torch", 2),
    ]
    for result in figures["results"]:
        assert set(result) == KEYS
        assert 0 < result["ms_p50"] <= result["ms_p95"]
        assert result["peak_rss_mb"] > 100
        assert result["label_agreement"] > 99.9
    for yardstick in figures["results"][::2]:
        assert yardstick["ratio"] == 1
    assert figures["floor_ms"]["96x64"] > 0
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "expected"), [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_waiting_threads_spin_shortly_unless_told(given, expected):
    code = "import os, vidseg_ros; print(os.environ['GOMP_SPINCOUNT'])"
    clean = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    result = subprocess.run([sys.executable, "-c", code], env=clean | given, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected


def test_the_reference_is_not_tuned(checkpoint_file, monkeypatch):
    """Each process of the race sees the environment that it was started with."""
    seen, popen = [], subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda *words, env, **options: (seen.append(env["GOMP_SPINCOUNT"]), popen(*words, env=env, **options))[1],
    )
    tuned = Case(str(checkpoint_file), EngineConfig("torch", "cpu"), (96, 64))
    compare([replace(tuned, reference=True), tuned], 1, 1)
    assert seen == ["300000", os.environ["GOMP_SPINCOUNT"]]


def test_another_checkout_and_exported_files_run_beside(checkpoint_file, tmp_path):
    """The other checkout is a copy that reports a memory of its own."""
    other = tmp_path / "other"
    shutil.copytree(PACKAGE, other / "vidseg_ros", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    code = other / "vidseg_ros" / "benchmark" / "serving.py"
    code.write_text(code.read_text().replace("return int(line.split()[1]) / 1024", "return 7.0"))
    file = tmp_path / "x.xml"
    assert main(["export", str(checkpoint_file), str(file), "--format", "openvino", "--size", "96x64"]) == 0
    words = ("--engines", f"torch,{file}", "--against", other, "--sizes", "96x64", "--rounds", 1, "--steps", 1)
    assert run(checkpoint_file, *words, "--json", tmp_path / "figures.json") == 0
    results = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert [r["engine"] for r in results] == ["reference", "torch", str(file), "torch", str(file)]
    assert [r["code"] for r in results] == ["", "", "", str(other), str(other)]
    assert [r["peak_rss_mb"] == 7.0 for r in results] == [False, False, False, True, True]
    assert min(r["label_agreement"] for r in results) > 99.9


OLDER = """
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EngineConfig:
    engine: str = "auto"
    device: str = "auto"
    hysteresis: float = 0.0


@dataclass(frozen=True)
class Case:
    checkpoint: str
    config: EngineConfig
    size: tuple[int, int]


def _serve(pipe, case):
    assert case == Case(case.checkpoint, EngineConfig("torch", "cpu"), (96, 64))
    pipe.send(np.zeros((20, 64, 96), np.uint8))
    while steps := pipe.recv():
        pipe.send([2.0] * steps)
    pipe.send(5.0)
"""


@pytest.fixture
def older(tmp_path):
    """A checkout of before cameras, threads, precisions and memories, with one file for the benchmark."""
    package = tmp_path / "older" / "vidseg_ros"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "errors.py").write_text("class UserError(Exception): pass\n")
    (package / "benchmark.py").write_text(OLDER)
    return package.parent


def test_an_older_checkout_runs_with_what_it_knows(checkpoint_file, older, tmp_path):
    words = ("--engines", "torch", "--against", older, "--sizes", "96x64", "--rounds", 2, "--steps", 3)
    assert run(checkpoint_file, *words, "--json", tmp_path / "figures.json") == 0
    *_, theirs = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert (theirs["code"], theirs["ms_p50"], theirs["peak_rss_mb"]) == (str(older), 2.0, 5.0)


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (["--memory", "off"], "'config.memory' (here 'off')"),
        (["--cameras", "2"], "'cameras' (here 2)"),
        (["--threads", "1"], "'config.threads' (here 1)"),
    ],
)
def test_what_an_older_checkout_does_not_know_is_named(checkpoint_file, older, words, unknown, capsys):
    common = ("--engines", "torch", "--against", older, "--sizes", "96x64", "--rounds", 1, "--steps", 1)
    assert run(checkpoint_file, *common, *words) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"knows no {unknown}; leave it out, or name a newer checkout" in told and str(older) in told


def test_multiply_adds_are_those_of_the_convolutions(checkpoint_file, monkeypatch):
    """Twice the pixels, twice the work."""
    small, large = (multiply_adds(str(checkpoint_file), size) for size in ((96, 64), (192, 64)))
    assert large == pytest.approx(2 * small)
    monkeypatch.setattr(machine, "PRODUCT", 64)
    monkeypatch.setattr(machine, "COPY_MB", 1)
    assert min(machine_floor().values()) > 0


def test_an_engine_that_cannot_start_ends_the_benchmark(checkpoint_file):
    case = Case(str(checkpoint_file), EngineConfig("cudagraph", "cpu"), (96, 64))
    with pytest.raises(UserError, match="engine 'cudagraph' does not run with device 'cpu'"):
        compare([case], 1, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engines", "reference"], "engine 'reference' is in every benchmark; name others"),
        (["--engines", "warp"], "engine is 'warp'; use one of auto, openvino"),
        (["--against", "/"], "--against '/' is no checkout of vidseg_ros; name its top folder"),
        (["--engines", "onnxruntime:bf16"], "engine 'onnxruntime' does not run with precision 'bf16'; use one of f32"),
        (["--engines", "torch:f8"], "precision is 'f8'; use one of f32, bf16, f16"),
        (["--rounds", "0"], "--rounds is 0; it must be above 0"),
    ],
)
def test_bad_options_are_named(checkpoint_file, words, message, capsys):
    assert run(checkpoint_file, "--sizes", "96x64", *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cameras", "2,0"], "'2,0' are no counts; give numbers above 0, by commas"),
        (["--sizes", "big"], "'big' is no size; write it like 640x480"),
    ],
)
def test_lists_that_are_none(checkpoint_file, words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        run(checkpoint_file, *words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
