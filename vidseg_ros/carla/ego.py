"""An ego vehicle for CARLA's native ROS 2 interface, from the sensor definition that the bridge reads, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidseg_ros.carla.server import Server, answering
from vidseg_ros.errors import UserError
from vidseg_ros.schema import parse_json

NOT_ATTRIBUTES = ("type", "id", "spawn_point", "sensors")


def read_vehicle(path: Path) -> dict[str, Any]:
    """Vehicle of a sensor definition file. Raises UserError where it has none."""
    try:
        objects = parse_json(path.read_text())["objects"]
        vehicles = [item for item in objects if item["type"].startswith("vehicle.") and item["sensors"]]
        return dict(vehicles[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"'{path}' defines no vehicle with sensors ({error}); see carla_sensors.json") from error


@contextmanager
def ego(server: Server, definition: dict[str, Any], role: str) -> Iterator[Any]:
    """Spawn the vehicle with its real sensors, publishing over ROS; take them away in the end."""
    actors: list[Any] = []
    with answering(server.address):
        library, api = server.world.get_blueprint_library(), server.api
        blueprint = _blueprint(library, definition["type"], {"role_name": role, "ros_name": role})
        spawned = (
            server.world.try_spawn_actor(blueprint, point) for point in server.world.get_map().get_spawn_points()
        )
        vehicle = next((actor for actor in spawned if actor is not None), None)
        if vehicle is None:
            raise UserError(f"every spawn point of {server.address} is taken; load another town")
        actors.append(vehicle)
        try:
            for item in definition["sensors"]:
                if item["type"].startswith("sensor.camera."):
                    actors.append(_sensor(server, library, api, item, vehicle))
            yield vehicle
        finally:
            for actor in reversed(actors):
                if actor.is_alive:
                    actor.destroy()


def _blueprint(library: Any, kind: str, attributes: dict[str, Any]) -> Any:
    try:
        blueprint = library.find(kind)
    except IndexError as error:
        raise UserError(f"the server has no '{kind}' ({error}); name another in the sensor definition") from error
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    return blueprint


def _sensor(server: Server, library: Any, api: Any, item: dict[str, Any], vehicle: Any) -> Any:
    attributes = {name: value for name, value in item.items() if name not in NOT_ATTRIBUTES}
    blueprint = _blueprint(library, item["type"], attributes | {"ros_name": item["id"], "role_name": item["id"]})
    point = item["spawn_point"]
    mount = api.Transform(api.Location(point["x"], -point["y"], point["z"]))  # CARLA's y points to the right
    sensor = server.world.spawn_actor(blueprint, mount, attach_to=vehicle)
    sensor.enable_for_ros()
    return sensor


def tick(server: Server, vehicle: Any, keep_on: Callable[[], bool]) -> None:
    """Step the server while ``keep_on`` says so. Raises UserError when the vehicle is gone."""
    with answering(server.address):
        while keep_on():
            server.world.tick()
            if not vehicle.is_alive:
                raise UserError("the ego vehicle is gone, perhaps by a map reload; start again")
