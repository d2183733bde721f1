"""Twenty simulated seconds at the wheel: how good labels are, and how late, shows in the driving."""

import json
from pathlib import Path

import numpy as np
import pytest

from vidseg_ros.checkpoints.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.closed_loop import (
    CHECKPOINT,
    DELAY,
    FlickeringLabels,
    NetworkLabels,
    TrueLabels,
    drive_by_labels,
    street,
)
from vidseg_ros.engines import open_engine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import CAMVID, LabelSet
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.networks.registry import build
from vidseg_ros.schema import from_dict
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

SECONDS, FPS = 20.0, 8.0
SEEDS = (0, 1)


def config(seed):
    return street(seed, (320, 240), FPS, "drawn")


@pytest.fixture(scope="module")
def truth():
    return {seed: drive_by_labels(TrueLabels(), SECONDS, config(seed)) for seed in SEEDS}


def stays_in_lane(figures):
    return figures["in_lane"] == 100 and figures["collisions"] == 0 and figures["completed_m"] > 7 * SECONDS


def test_true_labels_keep_the_lane(truth):
    for figures in truth.values():
        assert stays_in_lane(figures)
        assert (figures["miou"], figures["cons"]) == (100, 100)


def test_true_labels_find_through_a_bend_whose_kerb_is_hidden():
    assert stays_in_lane(drive_by_labels(TrueLabels(), SECONDS, config(107)))


def test_the_weights_for_simulation_keep_the_lane():
    engine = open_engine(load_checkpoint(CHECKPOINT), EngineConfig(device="cpu"))
    assert stays_in_lane(drive_by_labels(NetworkLabels(engine), SECONDS, street(1, (480, 360), FPS, "drawn")))


def test_the_weights_for_simulation_are_small_and_those_of_the_launch_file():
    assert find_checkpoint(CHECKPOINT).stat().st_size <= 4e6
    launch = (Path(__file__).parents[1] / "launch" / "sim.launch.py").read_text()
    assert f'"model": ("{CHECKPOINT}"' in launch


@pytest.mark.parametrize("seed", SEEDS)
def test_late_labels_drive_worse(truth, seed):
    late = drive_by_labels(TrueLabels(DELAY), SECONDS, config(seed))
    assert late["in_lane"] < 90
    assert late["cross_track_m"]["p95"] > 2 * truth[seed]["cross_track_m"]["p95"]
    assert late["miou"] < 90


@pytest.mark.parametrize("seed", SEEDS)
def test_flickering_labels_drive_worse(truth, seed):
    flickering = drive_by_labels(FlickeringLabels(seed), SECONDS, config(seed))
    assert flickering["completed_m"] < 0.5 * truth[seed]["completed_m"]  # it brakes for people who are not there
    assert flickering["cons"] < 90
    assert flickering["longitudinal_jerk"] > 2 * truth[seed]["longitudinal_jerk"]
    assert flickering["false_braking_s"] > 1
    assert truth[seed]["false_brakings"] == truth[seed]["false_braking_s"] == 0


def test_the_more_flicker_the_shorter_the_way():
    ways = [drive_by_labels(FlickeringLabels(1, share), 8.0, config(1))["completed_m"] for share in (0, 0.05, 0.1, 0.3)]
    assert ways == sorted(ways, reverse=True)
    assert ways[1] > 0.6 * ways[0] > 3 * ways[3]


def test_the_same_seed_gives_the_same_figures():
    assert len({json.dumps(drive_by_labels(FlickeringLabels(3), 2.0, config(3))) for _ in range(2)}) == 1


class DyingCamera(TrueLabels):
    """Gives labels for two seconds."""

    def look(self, frame):
        return super().look(frame) if frame.stamp < 2 else None


def test_a_camera_that_stops_stops_the_vehicle():
    world = street(1, (160, 120), FPS, "drawn")
    figures = drive_by_labels(DyingCamera(), 6.0, world)
    assert figures["frames"] == 2 * FPS
    assert 2 * 8 < figures["completed_m"] < 4.5 * 9  # a second at speed, then full brake
    assert drive_by_labels(DyingCamera(), 8.0, world)["completed_m"] == figures["completed_m"]


def test_stamps_that_stand_still_soon_are_too_old():
    class Stopped(TrueLabels):
        def look(self, frame):
            return frame.labels, 0.0

    ways = [drive_by_labels(Stopped(), s, street(1, (160, 120), FPS, "drawn"))["completed_m"] for s in (4.0, 6.0)]
    assert 8 < ways[0] == ways[1] < 30


def test_a_checkpoint_without_a_road_is_one_line(tmp_path, capsys):
    indoors = LabelSet("indoors", ("floor", "wall"), ((0, 0, 0), (9, 9, 9)))
    file = tmp_path / "indoors.safetensors"
    Checkpoint(build(from_dict(NetworkConfig, {"name": "ssnet", "classes": 2})), indoors).save(file)
    words = ["--checkpoint", str(file), "--size", "64x48", "--seconds", "1"]
    assert main(["simulate", "--closed-loop", "--labels", "node", *words, "--engine", "torch"]) == 2
    error = capsys.readouterr().err
    assert "label set 'indoors' has no class 'road' to drive on" in error
    assert error.count("\n") == 1


def test_delayed_labels_are_those_of_an_older_picture():
    world = StreetWorld(StreetWorldConfig(width=64, height=48, fps=10))
    frames, source = [world.frame(index) for index in range(8)], TrueLabels(0.3)
    answers = [source.look(frame) for frame in frames]
    assert answers[:3] == [None] * 3
    for index in range(3, 8):
        labels, stamp = answers[index]
        assert stamp == frames[index - 3].stamp
        np.testing.assert_array_equal(labels, frames[index - 3].labels)


def test_flicker_spoils_some_blocks_anew_in_each_frame():
    frame, source = StreetWorld(StreetWorldConfig(width=160, height=128)).frame(0), FlickeringLabels(0)
    first, second = (source.look(frame)[0] for _ in range(2))
    assert 0.1 < np.mean(first != frame.labels) < 0.4
    assert np.mean(first != second) > 0.1
    assert first.max() < len(CAMVID)


def test_the_verb_writes_its_figures(tmp_path, capsys):
    file = tmp_path / "figures.json"
    command = ["simulate", "--closed-loop", "--seconds", "1", "--size", "160x120", "--json", str(file)]
    assert main(command) == 0
    figures = json.loads(file.read_text())
    assert {"completed_m", "cross_track_m", "collisions", "miou", "cons"} <= set(figures)
    assert set(figures["cross_track_m"]) == {"p50", "p95"}
    assert "truth" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "--seconds is 0.0; it must be above 0"),
        (["--weather", "hail"], "weather is 'hail'; use one of"),
        (["--size", "4x4"], "width 4 is out of range"),
        (["--labels", "node", "--checkpoint", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    assert main(["simulate", "--closed-loop", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
