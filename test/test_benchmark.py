import json

import pytest

from vidseg_ros import benchmark
from vidseg_ros.benchmark import Case, compare, machine_floor, multiply_adds
from vidseg_ros.cli.main import main
from vidseg_ros.config import EngineConfig
from vidseg_ros.errors import UserError

KEYS = {
    "engine",
    "device",
    "precision",
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


def test_multiply_adds_are_those_of_the_convolutions(checkpoint_file, monkeypatch):
    """Twice the pixels, twice the work."""
    small, large = (multiply_adds(str(checkpoint_file), size) for size in ((96, 64), (192, 64)))
    assert large == pytest.approx(2 * small)
    monkeypatch.setattr(benchmark, "PRODUCT", 64)
    monkeypatch.setattr(benchmark, "COPY_MB", 1)
    assert min(machine_floor().values()) > 0


def test_an_engine_that_cannot_start_ends_the_benchmark(checkpoint_file):
    case = Case(str(checkpoint_file), EngineConfig("cudagraph", "cpu"), (96, 64))
    with pytest.raises(UserError, match="engine 'cudagraph' does not run on device 'cpu'"):
        compare([case], 1, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engines", "reference"], "engine 'reference' is in every benchmark; name others"),
        (["--engines", "warp"], "engine is 'warp'; use one of auto, torch"),
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
