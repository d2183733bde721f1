"""The recorder on a fake server, and the fake server against the real client API."""

import ast
import importlib.util
import inspect
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vidseg_ros.carla import recorder as recording
from vidseg_ros.carla import server as serving
from vidseg_ros.carla.recorder import CameraConfig, Recorder, SceneFailedError
from vidseg_ros.carla.scenario import FPS, FRAMES, SETTLE, TOWNS, WEATHERS, Scene, scenes
from vidseg_ros.carla.server import Address, Server, ServerLostError
from vidseg_ros.cli import record_carla
from vidseg_ros.cli.main import main
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CITYSCAPES, IGNORE

SPEC = importlib.util.spec_from_file_location("fake_carla", Path(__file__).with_name("fake_carla.py"))
fake = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fake)

ADDRESS = Address("localhost", 2000, 8000)
SCENE = Scene("Town02", 7, 9)


@pytest.fixture
def place():
    return fake.reset()


@pytest.fixture
def server(place):
    return Server(fake, ADDRESS, FPS, 0)


@pytest.fixture
def recorder(server, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "IMAGE_TIMEOUT", 0.01)
    return Recorder(server, tmp_path, CameraConfig(16, 8), 0)


# -- the scenario of the paper


def test_as_many_scenes_as_the_paper():
    everything = scenes(list(TOWNS))
    assert len(everything) == len({scene.name for scene in everything}) == 4680
    counts = Counter(scene.town for scene in everything)
    assert counts == {"Town01": 1170, "Town02": 630, "Town03": 900, "Town04": 900, "Town05": 1080}
    assert {scene.weather for scene in everything} == {1, 2, 3, 4, 7, 8, 9, 10, 11}


def test_starting_times_differ_and_repeat():
    times = [scene.settle(0) for scene in scenes(["Town01"])[:200]]
    assert SETTLE[0] <= min(times) < 4 and 9 < max(times) <= SETTLE[1]
    assert times == [scene.settle(0) for scene in scenes(["Town01"])[:200]]


def test_an_unknown_town_is_refused():
    with pytest.raises(UserError, match="town 'Town99' is not one of the scenario; use Town01"):
        scenes(["Town99"])


# -- recording


def test_a_scene_is_what_training_reads(recorder, place, tmp_path):
    assert recorder.record(SCENE)
    frames = open_dataset(str(tmp_path), CITYSCAPES)
    assert len(frames) == FRAMES
    np.testing.assert_allclose(np.diff([frame.stamp for frame in frames]), 1e9 / FPS, atol=1)
    first = round(SCENE.settle(0) * FPS) + 1  # the steps before settle the traffic
    for number, frame in enumerate(frames):
        clip = frame.read()
        step = first + number
        tag = step % (len(CITYSCAPES) + 1)
        assert (clip.frames == (step % 256, 0, 0)).all()
        assert (clip.labels == (tag - 1 if tag else IGNORE)).all()
    scene = tmp_path / SCENE.name
    assert len(list((scene / "depth").glob("*.png"))) == FRAMES
    flow = np.load(scene / "flow" / "000000.npy")
    assert (flow.shape, flow.dtype) == ((8, 16, 2), np.float32)


def test_the_server_runs_in_exact_steps_and_is_left_as_it_was(recorder, server, place):
    recorder.record(SCENE)
    assert (True, 1 / 17) in place.log
    assert ("traffic", True) in place.log
    assert "CloudySunset" in place.log
    traffic = [actor for actor in place.actors.values() if isinstance(actor, fake.Vehicle) and actor.is_alive]
    assert 0.8 * 80 < len(traffic) <= 80  # some places were taken
    server.close()
    assert place.log[-1] == (False, 0.0)
    assert not any(actor.is_alive for actor in place.actors.values())


def test_finished_scenes_are_kept_and_half_written_ones_done_again(recorder, tmp_path):
    assert recorder.record(SCENE)
    assert not recorder.record(SCENE)
    other = Scene("Town02", 8, 9)
    part = tmp_path / f"{other.name}.part"
    (part / "rgb").mkdir(parents=True)
    (part / "rgb" / "000029.png").write_bytes(b"half")
    assert len(open_dataset(str(tmp_path), CITYSCAPES)) == FRAMES
    assert recorder.record(other)
    assert not part.exists()
    assert len(open_dataset(str(tmp_path), CITYSCAPES)) == 2 * FRAMES


def test_a_server_that_dies_leaves_no_scene_behind(recorder, place, tmp_path):
    place.dies_at = 200
    with pytest.raises(ServerLostError, match=r"localhost:2000 does not answer \(time-out.*finished scenes are kept"):
        for spawn in range(9):
            recorder.record(Scene("Town02", spawn, 1))
    finished = [folder for folder in tmp_path.iterdir() if not folder.name.endswith(".part")]
    assert len(open_dataset(str(tmp_path), CITYSCAPES)) == FRAMES * len(finished) > 0


@pytest.mark.parametrize("camera", ["sensor.camera.semantic_segmentation", "sensor.camera.rgb"])
@pytest.mark.parametrize("at", [10, 130])
def test_a_frame_without_its_partner_fails_the_scene(recorder, place, tmp_path, camera, at):
    place.without.add((camera, at))
    with pytest.raises(SceneFailedError, match="picture"):
        for spawn in range(2):
            recorder.record(Scene("Town02", spawn, 1))
    assert all(actor.blueprint.kind != recording.EGO for actor in place.actors.values() if actor.is_alive)


def test_a_vehicle_that_is_gone_fails_the_scene(recorder, place):
    place.kills_master_at = 60
    with pytest.raises(SceneFailedError, match="the camera vehicle is gone"):
        recorder.record(SCENE)


def test_a_taken_spawn_point_fails_the_scene_only(recorder, place, capsys):
    place.loses = 7
    assert record_carla.record_all(recorder, [SCENE, Scene("Town02", 8, 9)], lambda: None) == 1
    assert "skipped Town02_007_09" in capsys.readouterr().out


def test_servers_without_flow_or_depth_record_the_rest(recorder, place, tmp_path):
    place.without |= {"sensor.camera.optical_flow", "sensor.camera.depth"}
    assert recorder.record(SCENE)
    assert {entry.name for entry in (tmp_path / SCENE.name).iterdir()} == {"rgb", "labels", "scene.json"}


def test_the_verb_shares_scenes_among_its_workers(place, tmp_path, monkeypatch):
    monkeypatch.setattr(record_carla, "load_api", lambda: fake)
    command = ["record-carla", str(tmp_path), "--towns", "Town02", "--scenes", "2", "--size", "16x8"]
    assert main(command) == 0
    assert len(open_dataset(str(tmp_path), CITYSCAPES)) == 2 * FRAMES
    assert Address("a", 2000, 8000).of_worker(2) == Address("a", 2020, 8020)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--port", "1"], "CARLA at localhost:1 does not answer"), (["--workers", "0"], "--workers is 0"),
     (["--towns", "Rome"], "town 'Rome'")],
)  # fmt: skip
def test_bad_input_is_one_line(place, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(record_carla, "load_api", lambda: fake)
    assert main(["record-carla", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_client_is_named(monkeypatch):
    def missing(name):
        raise ImportError("No module named 'carla'")

    monkeypatch.setattr(serving, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'vidseg_ros\[carla\]'"):
        serving.load_api()


# -- the fake is honest


def fakes():
    """Yield the dotted name and the parameters of each method that the fake has."""
    for name, kind in vars(fake).items():
        if inspect.isclass(kind) and kind.__module__ == "fake_carla" and name not in ("Place", "command"):
            yield from (
                (name, method, function) for method, function in vars(kind).items() if inspect.isfunction(function)
            )
    for name, kind in vars(fake.command).items():
        if inspect.isclass(kind):
            yield from (
                (f"command.{name}", method, function)
                for method, function in vars(kind).items()
                if inspect.isfunction(function)
            )


OWN = {("Image", "__init__"), ("Actor", "__init__"), ("ActorBlueprint", "__init__"), ("World", "__init__")}
NO_STUB = {("ServerSideSensor", "enable_for_ros")}  # only the compiled package has it
METHODS = [f for f in fakes() if f[:2] not in OWN and f[1] != "run"]
STUBBED = [method for method in METHODS if method[:2] not in NO_STUB]


@pytest.fixture(scope="module")
def stub():
    """Parameter names of every method in the type stub of the real package, all overloads."""
    carla = pytest.importorskip("carla", reason="the CARLA client is not installed")
    known = {}
    for prefix, file in (("", "libcarla.pyi"), ("command.", "command.pyi")):
        path = Path(carla.__file__).with_name(file)
        if not path.exists():
            pytest.skip("this CARLA client has no type stub")
        for kind in ast.parse(path.read_text()).body:
            if isinstance(kind, ast.ClassDef):
                for method in kind.body:
                    if isinstance(method, ast.FunctionDef):
                        names = [argument.arg for argument in method.args.args]
                        known.setdefault((prefix + kind.name, method.name), []).append(names)
    return known


@pytest.mark.parametrize(
    ("kind", "method", "function"),
    [m for m in METHODS if m[:2] not in NO_STUB],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_fake_has_the_signatures_of_the_real_api(stub, kind, method, function):
    mine = list(inspect.signature(function).parameters)
    assert any(names[: len(mine)] == mine for names in stub[kind, method]), stub[kind, method]


def test_the_real_package_has_every_class_and_method():
    carla = pytest.importorskip("carla", reason="the CARLA client is not installed")
    for kind, method, _ in METHODS:
        target = carla
        for part in kind.split("."):
            target = getattr(target, part)
        assert hasattr(target, method), f"{kind}.{method}"
    for weather in WEATHERS.values():
        assert isinstance(getattr(carla.WeatherParameters, weather), carla.WeatherParameters)
        assert hasattr(fake.WeatherParameters, weather)
    for kind, names in {
        "Image": ("frame", "width", "height", "raw_data"),
        "Actor": ("is_alive",),
        "WorldSettings": ("synchronous_mode", "fixed_delta_seconds"),
    }.items():
        assert all(hasattr(getattr(carla, kind), name) for name in names)
    assert all(hasattr(carla.command.Response, name) for name in ("actor_id", "error"))
