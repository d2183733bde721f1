"""Show that the package cannot be knocked over, into docs/reliability.json and reliability.md: ``make soak``.

    python -m tools.reliability                 # all of it
    python -m tools.reliability fuzz bytes      # of fuzz, bytes, soak and faults, some; what was found of others stays
    python -m tools.reliability page            # the document alone, from what was found

Everything is bounded, and talks to this machine only. VIDSEG_SOAK is the number of small frames (100,000), VIDSEG_HOUR
that of large ones (54,000: an hour of a camera of 15 Hz). What did not hold is a line, and the run ends with 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

if __name__ == "__main__":  # as ``python tools/reliability.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.tables import table

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FIGURES, PAGE = DOCS / "reliability.json", DOCS / "reliability.md"
FUZZED = ("test/fuzz", "test/ros/test_fuzz.py")
CASES, LEAST_CASES = 800, 20_000  # of each test, and together
BYTES = 20_000  # of each reader of bytes
SMALL_FRAMES = int(os.environ.get("VIDSEG_SOAK", "100000"))
LARGE_FRAMES = int(os.environ.get("VIDSEG_HOUR", "54000"))  # an hour of a camera of 15 Hz
SOAKS = {"64x48": ("fddwnet_camvid", SMALL_FRAMES), "640x480": ("espnet_camvid_fast", LARGE_FRAMES)}
"""Size of the frames -> the network, with its memory along the flow, and how many frames."""
ENGINE = "openvino:bf16"  # in float32 on a CPU without bf16
WARM_UP = 0.2  # share of the samples that do not count: memory is filled once
ROUNDS = 200  # of the life cycle
RESOURCES = {"rss_mb": "memory, MB", "threads": "threads", "files": "open files", "latency_ms_over_time": "latency, ms"}
MOST_GROWTH = {"rss_mb": 0.05, "threads": 0.01, "files": 0.01, "latency_ms_over_time": 0.02}
"""Growth in 1,000 frames that is none: a gigabyte of memory would take two weeks of a camera of 15 Hz."""
LEAST_FRAMES = 10_000  # of a run whose growth is judged: a shorter one is still filling memory
ERRORS = 3  # standard errors by which growth must be above that: what else the machine does is no growth

ROS, NODE = "test/ros", "test/ros/test_node.py"
FAULTS = {
    "ten times more frames than the network takes": f"{ROS}/test_overload.py",
    "bursts of frames": f"{ROS}/test_faults.py::test_a_burst_is_answered_by_its_newest",
    "a listener that stalls": f"{ROS}/test_faults.py::test_a_listener_that_stalls_delays_nobody",
    "listeners of another QoS": f"{ROS}/test_faults.py::test_listeners_of_another_qos_disturb_nobody",
    "a camera unplugged and back": f"{ROS}/test_faults.py::test_a_camera_that_is_unplugged_and_comes_back",
    "two publishers on one topic": f"{ROS}/test_faults.py::test_two_cameras_on_one_topic_are_answered_and_warned_of",
    "20 more participants": f"{ROS}/test_faults.py::test_a_crowd_of_participants_comes_and_goes",
    "loops and jumps of the clock": f"{NODE}::test_time_and_size_changes_reset_the_state",
    "use_sim_time without a clock": f"{NODE}::test_works_and_reports_in_simulated_time_whose_clock_stands_still",
    "messages that are no images": f"{NODE}::test_bad_frames_are_counted_and_the_node_lives_on",
    "requests that make no sense": f"{ROS}/test_requests.py",
    "SIGINT and SIGTERM at any moment of a start": f"{ROS}/test_start_and_stop.py",
    "SIGINT during the imports": "test/test_start.py",
    "SIGINT while frames flow": f"{ROS}/test_process.py::test_interrupt_while_frames_flow_is_clean",
    "SIGINT, SIGTERM or SIGKILL at random moments": f"{ROS}/test_signals.py",
    "SIGINT during a replay": "test/replay/test_replay.py::test_interrupt_leaves_a_valid_bag_and_a_partial_report",
    "SIGKILL of a replay": "test/replay/test_broken.py::test_a_killed_process_is_taken_up_again",
    "SIGKILL of a worker of a replay": "test/replay/test_many.py::test_processes_give_the_same_bytes_and_survive_death",
    "SIGKILL of a recording":
        "test/replay/test_killed_recording.py::test_a_killed_recording_is_refused_or_read_up_to_the_cut",
    "SIGKILL amid a phase of training":
        "test/training/test_processes.py::test_a_killed_run_goes_on_as_if_nothing_had_happened",
    "a disk that fills while a bag is written": "test/io/test_bags.py::test_a_full_disk_leaves_a_readable_bag",
    "a disk that fills while training": "test/training/test_trainer.py::test_full_disk_keeps_the_state_before",
    "an engine that raises amid a stream": f"{NODE}::test_engine_failure_is_a_rejected_frame",
    "a GPU out of memory or lost": f"{ROS}/test_recovery.py",
    "arithmetic that is wrong in bf16": "test/training/test_arithmetic.py",
    "an engine cache that is damaged, old, read-only or written by two": "test/engines/test_cache.py",
    "errors in each step of configure": f"{ROS}/test_lifecycle.py::"
        "test_an_error_in_configure_leaves_the_node_unconfigured_and_serviceable",
    f"{ROUNDS} rounds of the life cycle with frames in flight":
        f"{ROS}/test_lifecycle.py::test_rounds_with_frames_in_flight_hold_nothing_back",
    "files that carry code": "test/test_security.py::test_no_load_path_unpickles",
    "compressed bags that unpack to more than they say":
        "test/io/test_bags.py::test_what_unpacks_to_more_than_it_says_takes_no_memory",
    "headers that claim to be huge": "test/test_security.py::test_a_picture_that_claims_to_be_huge_takes_no_memory",
}  # fmt: skip
"""What may happen -> the tests that it does no harm."""

Figures = dict[str, Any]


def pytest(arguments: Sequence[str], **environment: str) -> int:
    """Run tests, in the folder of the project; returns the exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode


def fuzz(folder: Path) -> Figures:
    """Draw cases and count those that ended in anything but a result or one line."""
    counts = folder / "counts.json"
    status = pytest(FUZZED, VIDSEG_FUZZ=str(CASES), VIDSEG_FUZZ_COUNTS=str(counts))
    found: Figures = json.loads(counts.read_text())
    uncaught = found["uncaught"]
    if status and not uncaught:
        raise SystemExit("tests failed before they drew a case; see above")
    return {"cases": found["cases"], "uncaught": len(uncaught), "refused": found["refused"], "places": uncaught}


def fuzz_bytes(_: Path) -> dict[str, bool]:
    """Readers of bytes, and whether each held BYTES cases; none where atheris is not installed."""
    if find_spec("atheris") is None:
        return {}
    command = [sys.executable, "-m", "test.fuzz.readers", str(BYTES)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    held: dict[str, bool] = json.loads(done.stdout.splitlines()[-1])
    return held


def soak(folder: Path) -> Figures:
    """Send frames through the real node, and see whether anything grows."""
    runs = [one_soak(folder, size, checkpoint, frames) for size, (checkpoint, frames) in SOAKS.items()]
    return {
        "frames": sum(run["frames"]["sent"] for run in runs),
        "unaccounted": sum(unaccounted(run["frames"]) for run in runs),
        "rss_slope_mb_per_1000": max(run["slope_per_1000"]["rss_mb"] for run in runs),
        "runs": runs,
    }


def one_soak(folder: Path, size: str, checkpoint: str, frames: int) -> Figures:
    """Figures of one run: each frame is sent when the one before was answered."""
    file = folder / "soak.json"
    options = ("--node", "--checkpoint", checkpoint, "--engines", ENGINE, "--sizes", size, "--frames", str(frames))
    command = [sys.executable, "-m", "vidseg_ros", "benchmark", *options, "--json", str(file)]
    subprocess.run(command, cwd=ROOT, check=True)
    (result,) = json.loads(file.read_text())["results"]
    kept = ("size", "frames", "resets", "latency_ms", *RESOURCES)
    slopes = {name: slope(result[name], frames) for name in RESOURCES}
    return {"checkpoint": checkpoint} | {name: result[name] for name in kept} | {"slope_per_1000": slopes}


def unaccounted(frames: dict[str, int]) -> int:
    """Frames of which nobody says what became of them, and labels that are missing."""
    told = frames["processed"] + frames["dropped"] + frames["rejected"]
    return abs(frames["sent"] - frames["received"]) + abs(frames["received"] - told) + (
        abs(frames["processed"] - frames["labels"])
    )  # fmt: skip


def slope(samples: Sequence[float], frames: int) -> float:
    """How much samples, taken evenly over so many frames, grow in 1000 of them: least squares, behind the warm-up."""
    return round(_fit(samples, frames)[0], 5)


def _fit(samples: Sequence[float], frames: int) -> tuple[float, float]:
    """The slope behind the warm-up, in 1000 frames, and its standard error."""
    settled = np.asarray(samples[round(WARM_UP * len(samples)) :], float)
    if len(settled) < 3:
        return 0.0, 0.0
    along = np.arange(len(settled)) * frames / len(samples) / 1000
    line = np.polyfit(along, settled, 1)
    rest = settled - np.polyval(line, along)
    spread = np.square(along - along.mean()).sum()
    return float(line[0]), float(np.sqrt(np.square(rest).sum() / (len(settled) - 2) / spread))


def grown(run: Figures) -> list[str]:
    """A line for each resource of a run that grew by more than MOST_GROWTH, and not by chance."""
    frames = run["frames"]["sent"]
    if frames < LEAST_FRAMES:
        return []
    return [
        f"{name} grew by {run['slope_per_1000'][name]} in 1,000 frames of {run['size']}"
        for name, most in MOST_GROWTH.items()
        if not run["slope_per_1000"][name] - ERRORS * _fit(run[name], frames)[1] <= most
    ]


def faults(folder: Path) -> list[Figures]:
    """Each fault, and whether all its tests ran and held."""
    report = folder / "faults.xml"
    pytest([*dict.fromkeys(FAULTS.values()), f"--junitxml={report}"], VIDSEG_ROUNDS=str(ROUNDS))
    cases = [(place(case), held(case)) for case in ElementTree.parse(report).iter("testcase")]
    return [{"name": name, **outcome(test, cases)} for name, test in FAULTS.items()]


def place(case: ElementTree.Element) -> str:
    """A case as pytest names it: FILE::TEST, without parameters."""
    file = case.get("classname", "").replace(".", "/") + ".py"
    return f"{file}::{case.get('name', '').partition('[')[0]}"


def held(case: ElementTree.Element) -> bool | None:
    """Whether a test passed; None for one that could not run here."""
    if case.find("skipped") is not None:
        return None
    return case.find("failure") is None and case.find("error") is None


def outcome(test: str, cases: Sequence[tuple[str, bool | None]]) -> Figures:
    """Whether cases of a test, or of a file of tests, ran, and all that ran held; how many were skipped, if any."""
    mine = [good for name, good in cases if name == test or name.startswith(f"{test}::")]
    skipped, ran = mine.count(None), [good for good in mine if good is not None]
    held = {"held": bool(ran) and all(ran)}
    return held | ({"skipped": skipped, "ran": len(ran)} if skipped else {})


def said(fault: Figures) -> str:
    """What became of a fault, in a word or two."""
    skipped = fault.get("skipped", 0)
    if skipped and not fault["ran"]:
        return "skipped here"
    return ("held" if fault["held"] else "did not hold") + (f" ({skipped} cases skipped here)" if skipped else "")


def breaches(figures: Figures) -> list[str]:
    """A line for each figure, of the parts that were run, that is not as it has to be."""
    lines = []
    if drawn := figures.get("fuzz"):
        if drawn["uncaught"]:
            lines.append(f"{drawn['uncaught']} cases of the fuzz ended in an exception")
        if drawn["cases"] < LEAST_CASES:
            lines.append(f"the fuzz drew {drawn['cases']} cases, fewer than {LEAST_CASES}")
    if "bytes" in figures:
        readers = figures["bytes"] or {"bytes (skipped here: atheris is not installed)": False}
        lines += [f"the reader of {name} did not hold" for name, good in readers.items() if not good]
    if soaked := figures.get("soak"):
        if soaked["unaccounted"]:
            lines.append(f"{soaked['unaccounted']} frames of the soak are unaccounted for")
        lines += [line for run in soaked["runs"] for line in grown(run)]
    return lines + [f"{fault['name']}: {said(fault)}" for fault in figures.get("faults", []) if not fault["held"]]


def page(figures: Figures) -> str:
    """The document."""
    drawn, soaked, failures = figures["fuzz"], figures["soak"], figures["faults"]
    rows = [
        [run["size"], run["checkpoint"], run["frames"]["sent"], unaccounted(run["frames"])]
        + [run["slope_per_1000"][name] for name in RESOURCES]
        for run in soaked["runs"]
    ]
    header = ["frames of", "network", "sent", "unaccounted", *RESOURCES.values()]
    return "\n".join([
        "# Reliability",
        "",
        "Generated by `make soak` (`tools/reliability.py`) from [reliability.json](reliability.json); do not edit.",
        "",
        "## Fuzz",
        "",
        f"{drawn['cases']:,} cases drawn by hypothesis (messages, bags, videos, folders, pictures, labels, "
        f"checkpoints, configurations, arguments, whole verbs): {drawn['refused']:,} times something was refused in "
        f"one line, and {drawn['uncaught']} cases ended in an exception that nobody caught.",
        "",
        *by_bytes(figures["bytes"]),
        "## Soak",
        "",
        "Frames through the node in a process of its own, over DDS, each sent when the one before was answered. "
        "Unaccounted is what is missing in sent = received = processed + dropped + rejected and processed = labels. "
        "The other columns are the growth in 1,000 frames, by least squares over "
        f"{len(soaked['runs'][0]['rss_mb'])} samples, of which the first fifth does not count; what else the machine "
        "does shows in the latency, which may fall for that reason as well. Only growth is limited, to "
        f"{', '.join(f'{most} ({RESOURCES[name]})' for name, most in MOST_GROWTH.items())}: a run of {LEAST_FRAMES:,} "
        f"frames or more fails where it is above that by more than {ERRORS} standard errors.",
        "",
        table(header, rows),
        "",
        "## Faults",
        "",
        "Each is a test of the suite, or several; held: at least one case ran here, and all that ran passed.",
        "",
        table(["what happens", "held"], [[fault["name"], in_the_page(fault)] for fault in failures]),
        "",
    ])  # fmt: skip


def in_the_page(fault: Figures) -> str:
    """Whether a fault held, as the table of the document has it."""
    text = said(fault)
    return text.replace("held", "yes", 1) if fault["held"] else f"**{text.replace('did not hold', 'no')}**"


def by_bytes(held: dict[str, bool]) -> list[str]:
    """Lines of the document about the readers of bytes."""
    if not held:
        return ["Readers of bytes were **skipped here**: atheris is not installed.", ""]
    failed = ", ".join(name for name, good in held.items() if not good)
    return [
        f"{BYTES:,} cases of each reader of bytes ({', '.join(held)}), grown by libFuzzer (atheris) towards lines not "
        f"yet reached: {f'**{failed} did not hold**' if failed else 'no exception that nobody caught'}.",
        "",
    ]


PARTS = {"fuzz": fuzz, "bytes": fuzz_bytes, "soak": soak, "faults": faults}


def main(words: Sequence[str]) -> int:
    """Find what is asked for, and write both files; 1 where something did not hold."""
    figures: Figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    for name in words or PARTS:
        if name in PARTS:
            with tempfile.TemporaryDirectory() as folder:
                figures[name] = PARTS[name](Path(folder))
            FIGURES.write_text(json.dumps({part: figures[part] for part in PARTS if part in figures}, indent=1) + "\n")
    if all(name in figures for name in PARTS):
        PAGE.write_text(page(figures))
    found = breaches(figures)
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
