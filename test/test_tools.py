"""The scripts behind the documents: each can be imported, counts right by hand, and the experiments run."""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from test.io.making import image, write_bag
from tools import (
    comparisons,
    disturbances,
    drive_figures,
    drive_film,
    drive_networks,
    driving_page,
    experiments,
    figures,
    label_hashes,
    memories,
    networks,
    plots,
    remembering,
    rendering,
    replay_figures,
    speed,
    stability,
    tables,
)
from vidseg_ros import closed_loop
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.labels import IGNORE
from vidseg_ros.networks.config import CellConfig
from vidseg_ros.networks.convlstm import ConvLSTM
from vidseg_ros.networks.memory import Static


def test_each_writes_beside_the_documents(pytestconfig):
    docs = pytestconfig.rootpath / "docs"
    names = sorted(file.stem for file in (pytestconfig.rootpath / "tools").glob("*.py") if file.stem != "__init__")
    modules = [importlib.import_module(f"tools.{name}") for name in names]
    assert {tables, plots, speed, stability} < set(modules)
    assert all(docs == module.DOCS for module in modules if hasattr(module, "DOCS"))
    assert rendering.RENDERING.parent == docs and (docs / "results.in.md").is_file()


def test_results_are_written_from_what_was_measured(pytestconfig, tmp_path):
    """As a file, which finds its neighbours too; that modules do, the imports above show."""
    shutil.copytree(pytestconfig.rootpath / "tools", tmp_path / "tools")
    shutil.copytree(pytestconfig.rootpath / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.png"))
    (tmp_path / "docs" / "results.md").unlink()
    command = [sys.executable, "tools/figures.py", "--as-measured"]
    search = {"PYTHONPATH": str(pytestconfig.rootpath)}
    subprocess.run(command, check=True, cwd=tmp_path, env=os.environ | search)
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "{{" not in text and figures.SHIPPED[1] in text and "| STGRU |" in text
    assert (tmp_path / "docs" / "speed.png").is_file()


def test_a_table_aligns_its_numbers():
    assert tables.table(["run", "mIoU"], [["a", 1], ["b", "2.50"]]) == (
        "| run | mIoU |\n| --- | ---: |\n| a | 1 |\n| b | 2.50 |"
    )


def drives(labels, seed, way, **more):
    figures = {"in_lane": 100, "collisions": 0, "cross_track_m": {"p50": 0.1, "p95": 0.4}, "lateral_jerk": 1.0}
    figures |= {"longitudinal_jerk": 2.0, "false_brakings": 0, "completed_m": way, "cons": 99.0}
    where = {"part": "study", "labels": labels, "seed": seed, "condition": "clear", "fps": 8.0}
    return where | figures | more


def test_a_row_of_drives_counts_and_means():
    row = driving_page.row("node", [drives("node", 1, 100), drives("node", 2, 51, in_lane=80, false_brakings=3)])
    assert row == ["node", "1 of 2", "0.10", "0.40", "1.00", "2.00", "1.5", "75.5", "99.00"]


def test_gains_are_paired_over_streets():
    ways = {1: 100, 2: 20, 3: 60, 5: 80, 6: 70}
    study = [drives(n, s, w + 5 * (n == "memory")) for s, w in ways.items() for n in ("single", "memory")]
    lone = drives("single", 4, 1000)
    assert driving_page.paired([*study, lone]) == study
    line = driving_page.gains(study).splitlines()[-1]
    assert "| memory |" in line
    assert "**+5.0** [+5.0, +5.0]" in line  # the same on each street: certain, though streets differ by more
    assert "+0.00 [+0.00, +0.00]" in line
    assert "compared with: way is surely higher with memory. Nothing else" in driving_page.verdict(study)
    assert "nothing is certain" in driving_page.verdict(study[:4])
    assert "does not pay" in driving_page.verdict([drive | {"completed_m": 1.0} for drive in study])
    mean, low, high = driving_page.interval([1.0, -1.0, 0.5, -0.5])
    assert low < 0 == mean < high


def test_labels_are_compared_at_equal_hysteresis():
    names = ("single", "single + hysteresis", "memory", "memory + hysteresis")
    assert driving_page.comparisons([drives(name, 1, 100) for name in names]) == list(
        zip(names[1:], ("single", "single", "single + hysteresis"), strict=True)
    )


def test_a_memory_is_compared_with_its_network_without_it():
    names = ("cell, memory off", "cell", "unit, memory off", "unit")
    study = [drives(name, seed, 100 + (name == "cell")) for name in names for seed in range(5)]
    assert driving_page.comparisons(study) == [("cell", "cell, memory off"), ("unit", "unit, memory off")]
    assert "**+1.0** [+1.0, +1.0]" in driving_page.gains(study).splitlines()[2]


def test_every_drive_has_a_file_of_its_own_and_goes_on(tmp_path, monkeypatch):
    runs = list(drive_figures.runs())
    assert len({run.name for run in runs}) == len(runs)
    assert {run.seed for run in runs if run.part == "sealed"} == set(range(200, 220))
    few, driven = runs[:3], []
    monkeypatch.setattr(drive_figures, "runs", lambda: iter(few))
    monkeypatch.setattr(drive_figures, "CACHE", tmp_path)
    monkeypatch.setattr(drive_figures, "drive", lambda run: driven.append(run) or {"seed": run.seed})
    assert drive_figures.measure(0) == []
    for _ in range(2):
        assert [figures["seed"] for figures in drive_figures.measure(1)] == [run.seed for run in few]
    assert driven == few


@pytest.mark.parametrize("labels", ["flicker 0.0", "delay 0.125"])
def test_a_drive_of_the_curves(labels):
    figures = drive_figures.drive(drive_figures.Run("curves", labels, 1, seconds=0.5))
    assert (figures["part"], figures["labels"]) == ("curves", labels)
    assert (figures["cons"] == 100) == (labels == "flicker 0.0")
    assert "per_class" not in figures


def test_families_of_driving_networks_have_one_budget(tmp_path, monkeypatch):
    budgets = {
        name: sum(phase.steps * phase.clip_length * phase.batch for phase in config.phases)
        for name, config in drive_networks.FAMILIES.items()
    }
    whole = drive_networks.STEPS * drive_networks.IMAGES
    assert all(0.9 * whole < images <= whole for images in budgets.values())
    assert {family for family, _ in drive_figures.FAMILIES.values()} == set(budgets)
    trainings = []
    monkeypatch.setattr(drive_networks, "WORK", tmp_path)
    monkeypatch.setattr(drive_networks, "train", lambda config, output, *_: trainings.append(config) or output.touch())
    assert {drive_networks.trained("ConvLSTM") for _ in range(2)} == {tmp_path / "convlstm.safetensors"}
    assert trainings == [drive_networks.FAMILIES["ConvLSTM"]]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_film_of_a_drive_shows_what_flickered(share):
    filmed = drive_film.Filmed(closed_loop.FlickeringLabels(1, share), "labels")
    closed_loop.drive_by_labels(filmed, 0.5, drive_figures.Run("film", "", 1).world)
    width, height = drive_film.SIZE
    assert {picture.shape for picture in filmed.pictures} == {(2 * height, width, 3)}
    assert (filmed.pictures[-1][height:].max() > 0) == (share > 0)


def test_the_quality_of_checkpoints_is_a_table_and_the_gain_of_a_memory_a_line():
    off = dict.fromkeys(figures.TRUTH.values(), 50.0) | {"cons": 96.0, "per_class": {"pole": 10.0}}
    on = off | {"miou": 52.0, "cons": 97.0, "consw": 49.5, "per_class": {"pole": 9.5}}
    line = "inconsistency 4.00 -> 3.00 (cut by 25 %), mIoU +2.00, ConsW -0.50, poles -0.5"
    assert memories.gain(off, on) == line
    assert memories.gains({"a, 0, off": off, "a, 0, flow": on}) == f"- `a`, memory flow, hysteresis 0: {line}"
    rows = memories.rows({"a, 4, flow": on}, {"mIoU": "miou"})
    assert rows == [["a", "4", "flow", "52.00", "9.5"]]
    pair = dict(zip(figures.PAIR, (off, on), strict=True))
    assert figures.quality(pair, {"Cons": "cons"}).splitlines()[2:] == [
        "| memory off | 96.00 |",
        "| memory on | 97.00 |",
    ]


def test_bad_frames_come_in_turn_and_always_alike(tmp_path):
    picture = np.random.default_rng(0).integers(20, 200, (40, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "frame.png"), picture)
    frames = [StoredFrame(tmp_path / "frame.png", None, "s", 0, np.empty(0, np.uint8))] * 8
    clean = frames[0].read().frames
    for kind, every in disturbances.EVERY.items():
        changed = {n for n, f in enumerate(disturbances.bad(frames, kind)) if (f.read().frames != clean).any()}
        turns = set(range(every - 1, 8, every))
        assert changed <= turns
        assert len(turns - changed) < 2  # an exposure may be drawn that changes nothing
        once, again = (disturbances.bad(frames, kind)[3].read().frames for _ in range(2))
        np.testing.assert_array_equal(once, again)
    assert (disturbances.bad(frames, disturbances.CLEAN)[7].read().frames == clean).all()


def test_a_memory_is_judged_by_the_inconsistency_it_cuts():
    off, on = ({"miou": 50.0, "acc": 60.0, "cons": cons, "consw": 1.0, "forget": 0.25} for cons in (96.0, 97.0))
    lines = disturbances.compare({"a, blur, off": off, "a, blur, flow": on}).splitlines()
    assert lines[2:] == [
        "| a | blur | off | 50.00 | 60.00 | 96.00 | 1.00 |  |",
        "| a | blur | flow | 50.00 | 60.00 | 97.00 | 1.00 | 25 % |",
    ]
    kinds = (disturbances.CLEAN, *disturbances.EVERY)
    figures = {f"cell; {kind}; {memory}": report for kind in kinds for memory, report in (("off", off), ("auto", on))}
    shown = remembering.forgetting(figures).splitlines()[2]
    assert shown == "| cell | 0.25 |" + " 50.0 / 96.00 → 50.0 / 97.00 (25 %) |" * len(kinds)


@pytest.mark.parametrize("keep", [0.27, 0.5])
def test_a_cell_that_was_never_trained_averages(keep):
    torch.manual_seed(0)
    cell, weight = ConvLSTM(3, 3, CellConfig("L1b", kernel=3, state_size=(4, 5))), torch.randn(3, 3, 1, 1)
    cell.init_from_convolution(Static(weight, input_size=0.5, output_size=2.0))
    remembering.make_constant(cell, keep)
    first, second = torch.randn(2, 1, 3, 4, 5)
    gates = []
    cell.register_forward_pre_hook(lambda cell, given: gates.extend(remembering.forget(cell, *given)))
    with torch.no_grad():
        _, state = cell(first)
        h, _ = cell(second, state)
    now, then = (torch.nn.functional.conv2d(x, weight) for x in (second, first))
    torch.testing.assert_close(h, (1 - keep) * (now + keep * then))
    assert gates == pytest.approx([keep])


def test_seeds_give_a_mean_and_the_furthest_from_it():
    runs = {"a": {"miou": 60.0}, "a, seed 1": {"miou": 62.0}, "b": {"miou": 1.0}}
    assert figures.spread(figures.seeds_of("a", runs), "miou") == "61.00 ± 1.00"
    assert figures.spread(figures.seeds_of("b", runs), "miou") == "1.00"
    assert figures.spread(figures.seeds_of("b", runs), "cons") == ""


def test_flicker_has_a_row_for_each_distance():
    count = len(stability.EDGES) + 1
    area, single, video = [20.0] * count, [0.5] * count, [0.25] * count
    rows = figures.flicker(dict(zip(figures.PAIR, ((area, single), (area, video)), strict=True))).splitlines()[2:]
    assert rows[0] == "| 0 to 2 | 20.00 | 0.50 | 0.25 |"
    assert rows[-1] == "| all | 100.00 | 2.50 | 1.25 |"


def test_a_bag_is_hashed_by_the_pixels_of_its_labels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 11, (2, 4, 6), dtype=np.uint8)
    labels = [(stamp, image(frame, stamp, "mono8")) for stamp, frame in enumerate(pixels)]
    other = [(0, image(pixels[0], 0, "mono8"))]
    bag = write_bag(tmp_path / "bag", {f"/front{label_hashes.TOPIC}": labels, "/front/other": other})
    assert label_hashes.label_hash(bag) == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_names_in_a_plot_stay_apart(tmp_path, monkeypatch):
    assert plots.spread([1.0, 1.0, 5.0]) == [1.0, 1.0 + plots.LINE, 5.0]
    monkeypatch.setattr(plots, "DOCS", tmp_path)
    plots.plot_tradeoff({n: {"miou": m, "cons": 97.0, "cell_parameters": 0} for n, m in (("a", 60.0), ("b", 10.0))})
    assert cv2.imread(str(tmp_path / "tradeoff.png")).any()


def test_rendering_takes_frames_in_turn():
    asked = []

    class Frame:
        def __init__(self, index):
            self.index = index

        @property
        def rgb(self):
            asked.append(self.index)

    assert rendering.pace(SimpleNamespace(frame=Frame), 40) > 0
    assert asked == list(range(40, 40 + rendering.FRAMES))


def test_processes_render_at_once():
    assert rendering.together(2, (16, 16)) > 0


def test_a_long_bag_repeats_without_a_jump():
    assert replay_figures.there_and_back(4) == [0, 1, 2, 3, 2, 1]


def test_bars_name_each_engine():
    results = [
        {"engine": "torch", "precision": "f32", "ms_p50": 40.0},
        {"engine": "openvino", "precision": "bf16", "ms_p50": 20.0},
        {"engine": "/model.xml", "precision": "f32", "ms_p50": 10.0},
    ]
    measured = {"benchmark": {"480x360": {"floor_ms": {"480x360": 5.0}, "results": results}}}
    bars = [("torch", 40.0), ("openvino:bf16", 20.0), ("openvino int8", 10.0)]
    assert speed.bars(measured) == {"480x360": (5.0, bars)}


def test_the_cost_of_a_memory_is_what_it_takes_more():
    costs = [{"network": "a", "memory": m, "ms_p50": ms} for m, ms in (("network", 20.0), ("flow", 26.5))]
    lines = networks.cost({"memory_cost": costs}).splitlines()
    assert lines[2:] == ["| a | as it is | 20.0 | +0.0 |", "| a | flow | 26.5 | +6.5 |"]
    runs = [{"file": n, "size": "8x8", "precision": "f32", "ms_p50": ms} for n, ms in (("a", 20.0), ("b", 30.0))]
    assert networks.files({"shipped": runs}).splitlines()[2:] == [
        "| a | 8x8 | 20.0 (1.00) |",
        "| b | 8x8 | 30.0 (1.50) |",
    ]
    assert networks.scores({"a": {"miou": 1.0}}, {"mIoU": "miou"}) == [["a", "1.00"]]


def test_distance_counts_from_the_boundary():
    truth = np.repeat(np.array([0, 0, 0, 1, 1, 1], np.uint8)[None], 3, 0)
    assert stability.distance(truth)[0].round().tolist() == [3, 2, 1, 0, 1, 2]


def test_stability_over_time_and_by_distance():
    """Six columns, a boundary in their middle: one of the pixels beside it changes its label, and one is void."""
    truth = np.repeat(np.array([0, 0, 0, 1, 1, 1], np.uint8)[None, None], 2, 0)
    labels = truth.copy()
    labels[1, 0, 3], truth[1, 0, 5] = 0, IGNORE
    seconds, cons = stability.over_time([10**9, 10**9 + 66_666_667], labels, truth)
    assert (seconds, cons) == ([0.067], [80.0])
    area, flicker = stability.by_distance(labels, truth)
    assert sum(area) == pytest.approx(100) and flicker == [20.0, 0.0, 0.0, 0.0, 0.0]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Three consecutive frames of sky above road."""
    folder = tmp_path / "datasets" / "toy"
    for name in ("frames", "labels"):
        (folder / name).mkdir(parents=True)
    labels = np.repeat(np.array([0, 3], np.uint8), 32)[:, None].repeat(96, 1)
    for number in (30, 32, 34):
        cv2.imwrite(
            str(folder / "frames" / f"s_{number:05}.png"), np.where(labels == 0, 210, 60)[..., None].repeat(3, 2)
        )
        cv2.imwrite(str(folder / "labels" / f"s_{number:05}.png"), labels)
    monkeypatch.setenv("VIDSEG_DATA", str(tmp_path / "datasets"))


def test_an_experiment_runs_to_its_figures(toy, tmp_path, monkeypatch):
    network = {"name": "espnet", "p": 1, "q": 1, "input": {"size": [96, 64]}}
    memory = network | {"cell": {"position": "L1b", "kernel": 3, "state_size": [8, 12]}}
    single = [comparisons.single(2, 1e-3)[0] | {"batch": 2}]
    video = [comparisons.video(2, 1e-3)[0] | {"clip_length": 2, "burn_in": 2}]
    data = [{"source": "toy"}]
    monkeypatch.setattr(experiments, "WORK", tmp_path / "work")
    monkeypatch.setattr(experiments, "RESULTS", tmp_path / "experiments.json")
    monkeypatch.setattr(experiments, "VAL", "toy")
    monkeypatch.setattr(sys, "argv", ["experiments"])
    runs = {
        "first, 5 %": ({"network": network, "phases": single, "data": data}, None),
        "second": ({"network": memory, "phases": video, "data": data}, "first, 5 %"),
    }
    monkeypatch.setattr(experiments, "EXPERIMENTS", runs)
    experiments.main()
    assert (tmp_path / "work" / "first_5_percent.safetensors").is_file()
    first, second = json.loads((tmp_path / "experiments.json").read_text()).values()
    assert (first["start"], first["images"], first["cell_parameters"]) == (None, 4, 0)
    assert (second["start"], second["images"]) == ("first, 5 %", 8) and second["cell_parameters"] > 0
    assert "off" not in first and second["off"]["frames"] == 3
    assert first["frames"] == second["frames"] == 3 and 0 <= second["miou"] <= 100
    monkeypatch.setattr(experiments, "run", lambda name, hardware: pytest.fail(f"{name} ran again"))
    experiments.main()


def test_documents_name_no_folder_of_one_machine(pytestconfig):
    files = [file for kind in ("*.md", "docs/*.md", "docs/*.json") for file in pytestconfig.rootpath.glob(kind)]
    assert len(files) > 20
    assert not [file.name for file in files if "/tmp/tmp" in file.read_text()]
