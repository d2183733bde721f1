"""The figures behind docs/reliability.md: counted right, about tests that exist, and the page is what they say."""

import ast
import json
from xml.etree import ElementTree

import pytest

from tools import reliability

CASE = "<testcase classname='test.ros.test_faults' name='{name}'>{result}</testcase>"


@pytest.mark.parametrize("test", sorted(set(reliability.FAULTS.values())))
def test_each_fault_has_its_test(test, pytestconfig):
    file, _, name = test.partition("::")
    functions = {
        node.name for node in ast.parse((pytestconfig.rootpath / file).read_text()).body
        if isinstance(node, ast.FunctionDef)
    }  # fmt: skip
    assert name in functions or (not name and any(function.startswith("test_") for function in functions))


def test_growth_is_that_behind_the_warm_up():
    assert reliability.slope([0, 50, *(100 + number for number in range(8))], 10_000) == pytest.approx(1.0)
    assert reliability.slope([500.0] * 10, 10_000) == 0
    assert reliability.slope([], 10) == 0


def test_every_frame_is_accounted_for():
    good = {"sent": 10, "received": 10, "processed": 7, "dropped": 2, "rejected": 1, "labels": 7}
    assert reliability.unaccounted(good) == 0
    for name, missing in (("received", 2), ("dropped", 1), ("labels", 1)):
        assert reliability.unaccounted(good | {name: good[name] - 1}) == missing


def test_a_fault_holds_where_all_its_cases_pass():
    results = {"test_a[1]": "", "test_a[2]": "<failure/>", "test_b": "<skipped/>", "test_c": "<error/>"}
    cases = [ElementTree.fromstring(CASE.format(name=name, result=result)) for name, result in results.items()]
    found = [(reliability.place(case), reliability.held(case)) for case in cases]
    file = "test/ros/test_faults.py"
    outcomes = {
        name: reliability.outcome(f"{file}::{name}", found) for name in ("test_a", "test_b", "test_c", "test_d")
    }
    no = {"held": False}
    assert outcomes == {"test_a": no, "test_b": no | {"skipped": 1, "ran": 0}, "test_c": no, "test_d": no}
    passed, _, skipped, _ = found
    partly = reliability.outcome(file, [passed, skipped])
    assert partly == {"held": True, "skipped": 1, "ran": 1}
    words = [reliability.in_the_page(fault) for fault in (no, outcomes["test_b"], partly)]
    assert words == ["**no**", "**skipped here**", "yes (1 cases skipped here)"]


def test_noise_is_no_growth_but_growth_is(pytestconfig):
    run = known(pytestconfig)["soak"]["runs"][0]
    for samples, grows in (([4, 4, 4, 9, 3, 8, 4, 9, 5, 9], False), ([4, 4, *range(5, 13)], True)):
        run["latency_ms_over_time"] = samples
        run["slope_per_1000"]["latency_ms_over_time"] = reliability.slope(samples, run["frames"]["sent"])
        assert run["slope_per_1000"]["latency_ms_over_time"] > reliability.MOST_GROWTH["latency_ms_over_time"]
        assert bool(reliability.grown(run)) == grows
    run["frames"]["sent"] = reliability.LEAST_FRAMES - 1
    assert not reliability.grown(run)


def test_a_part_alone_is_judged_too():
    assert reliability.breaches({"fuzz": {"cases": 30_000, "uncaught": 1}}) == [
        "1 cases of the fuzz ended in an exception"
    ]
    assert "atheris is not installed" in reliability.breaches({"bytes": {}})[0]
    assert "skipped here" in "".join(reliability.by_bytes({}))
    skipped = {"name": "x", "held": False, "skipped": 2, "ran": 0}
    assert reliability.breaches({"faults": [skipped]}) == ["x: skipped here"]


def known(pytestconfig):
    return json.loads((pytestconfig.rootpath / "docs/reliability.json").read_text())


def test_what_was_found_holds(pytestconfig):
    assert reliability.breaches(known(pytestconfig)) == []


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        (("fuzz", "uncaught"), 2, "2 cases of the fuzz ended in an exception"),
        (("fuzz", "cases"), 19_999, "the fuzz drew 19999 cases, fewer than 20000"),
        (("bytes", "bags"), False, "the reader of bags did not hold"),
        (("soak", "unaccounted"), 1, "1 frames of the soak are unaccounted for"),
        (("soak", "runs", 1, "slope_per_1000", "threads"), 0.5, "threads grew by 0.5 in 1,000 frames of 640x480"),
        (("soak", "runs", 0, "slope_per_1000", "rss_mb"), 1.0, "rss_mb grew by 1.0 in 1,000 frames of 64x48"),
        (("faults", 1, "held"), False, "bursts of frames: did not hold"),
    ],
)
def test_what_did_not_hold_is_a_line_and_ends_with_1(place, value, line, pytestconfig, tmp_path, monkeypatch, capsys):
    figures = known(pytestconfig)
    part = figures
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    assert reliability.breaches(figures) == [line]
    monkeypatch.setattr(reliability, "FIGURES", tmp_path / "reliability.json")
    monkeypatch.setattr(reliability, "PAGE", tmp_path / "reliability.md")
    reliability.FIGURES.write_text(json.dumps(figures))
    assert reliability.main(["page"]) == 1
    assert capsys.readouterr().out == f"{line}\n"


def test_the_page_is_what_was_found(pytestconfig):
    figures = known(pytestconfig)
    assert (pytestconfig.rootpath / "docs/reliability.md").read_text() == reliability.page(figures)
    assert set(figures["fuzz"]) >= {"cases", "uncaught"}
    assert set(figures["soak"]) >= {"frames", "unaccounted", "rss_slope_mb_per_1000"}
    assert {fault["name"] for fault in figures["faults"]} == set(reliability.FAULTS)
