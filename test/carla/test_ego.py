"""The ego vehicle of CARLA's native interface, on the fake server."""

import importlib.util
import itertools
from pathlib import Path

import pytest

from vidseg_ros.carla.ego import ego, read_vehicle, tick
from vidseg_ros.carla.server import Address, Server
from vidseg_ros.cli import spawn_carla
from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError

SPEC = importlib.util.spec_from_file_location("fake_carla", Path(__file__).with_name("fake_carla.py"))
fake = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fake)


@pytest.fixture
def sensors(pytestconfig):
    return pytestconfig.rootpath / "config" / "carla_sensors.json"


@pytest.fixture
def place():
    return fake.reset()


@pytest.fixture
def server(place):
    server = Server(fake, Address("localhost", 2000, 8000), 20.0, 0)
    server.load("Town01", 0)
    return server


def test_cameras_publish_under_their_names_and_are_taken_away(server, place, sensors):
    with ego(server, read_vehicle(sensors), "hero") as vehicle:
        assert vehicle.blueprint.attributes["role_name"] == "hero"
        assert ("ros", "rgb_front") in place.log
        assert ("ros", "semantic_segmentation_front") in place.log
        camera = next(a for a in place.actors.values() if a.blueprint.kind == "sensor.camera.rgb")
        assert camera.blueprint.attributes["image_size_x"] == "1024"
        assert camera.blueprint.attributes["fov"] == "90.0"
        steps = itertools.count()
        tick(server, vehicle, lambda: next(steps) < 3)
        assert place.frame == 3
    assert not any(actor.is_alive for actor in place.actors.values())


def test_both_cameras_are_the_same_but_for_what_they_see(sensors):
    rgb, semantic = (item for item in read_vehicle(sensors)["sensors"] if item["type"].startswith("sensor.camera"))
    assert {**rgb, "type": "", "id": ""} == {**semantic, "type": "", "id": ""}


def test_a_vehicle_that_is_gone_is_named(server, place, sensors):
    place.kills_master_at = 2
    with (
        ego(server, read_vehicle(sensors), "hero") as vehicle,
        pytest.raises(UserError, match="vehicle is gone"),
    ):
        tick(server, vehicle, lambda: True)


@pytest.mark.parametrize("text", ["", "{}", '{"objects": []}', '{"objects": [{"type": "vehicle.x", "sensors": []}]}'])
def test_a_definition_without_a_vehicle_is_refused(tmp_path, text):
    (tmp_path / "sensors.json").write_text(text)
    with pytest.raises(UserError, match="defines no vehicle with sensors"):
        read_vehicle(tmp_path / "sensors.json")


def test_a_sensor_that_the_server_lacks_is_named(server, place, sensors):
    place.without.add("sensor.camera.rgb")
    with (
        pytest.raises(UserError, match=r"has no 'sensor\.camera\.rgb'"),
        ego(server, read_vehicle(sensors), ""),
    ):
        pass


def test_the_verb_ends_with_one_line_when_the_server_dies(place, sensors, monkeypatch, capsys):
    monkeypatch.setattr(spawn_carla, "load_api", lambda: fake)
    place.dies_at = 5
    assert main(["spawn-carla", "--sensors", str(sensors)]) == 2
    error = capsys.readouterr().err
    assert "CARLA at localhost:2000 does not answer" in error
    assert error.count("\n") == 1
