"""A server object with exactly those parts of CARLA's client API that the recorder uses.

``test_recorder.py`` compares every class, method and parameter name here with the real package.
"""

import numpy as np

from vidseg_ros.labels import CITYSCAPES

__all__ = ["Client", "Location", "Transform", "WeatherParameters", "command"]


class Place:
    """The simulator behind all objects: what is alive, and what goes wrong when."""

    def __init__(self):
        self.actors, self.frame, self.town = {}, 0, ""
        self.dies_at = self.loses = self.kills_master_at = None
        self.without = set()
        self.log = []

    def add(self, actor):
        number = len(self.actors) + 1
        actor.place, actor.number, actor.is_alive = self, number, True
        self.actors[number] = actor
        return actor


PLACE = Place()


def reset():
    PLACE.__init__()
    return PLACE


class WeatherParameters:
    ClearNoon, CloudyNoon, WetNoon, WetCloudyNoon = "ClearNoon", "CloudyNoon", "WetNoon", "WetCloudyNoon"
    SoftRainNoon, ClearSunset, CloudySunset = "SoftRainNoon", "ClearSunset", "CloudySunset"
    WetSunset, WetCloudySunset = "WetSunset", "WetCloudySunset"


class Location:
    def __init__(self, x=0.0, y=0.0, z=0.0):
        self.x, self.y, self.z = x, y, z


class Transform:
    def __init__(self, location=None, rotation=None):
        self.location = location


class ActorBlueprint:
    def __init__(self, kind):
        self.kind, self.attributes = kind, {}

    def set_attribute(self, id, value):
        assert isinstance(value, str)
        self.attributes[id] = value


class BlueprintLibrary:
    def find(self, id):
        if id in PLACE.without:
            raise IndexError(f"blueprint '{id}' not found")
        return ActorBlueprint(id)

    def filter(self, wildcard_pattern):
        assert wildcard_pattern == "vehicle.*"
        return [ActorBlueprint(f"vehicle.{number}") for number in range(3)]


class Actor:
    is_alive = False

    def __init__(self, blueprint):
        self.blueprint = blueprint

    def destroy(self):
        self.is_alive = False
        return True


class Vehicle(Actor):
    def set_autopilot(self, enabled=True, port=8000):
        self.pilot = port


class Sensor(Actor):
    def listen(self, callback):
        self.callback = callback


class ServerSideSensor(Sensor):
    def enable_for_ros(self):
        PLACE.log.append(("ros", self.blueprint.attributes["ros_name"]))


class Image:
    def __init__(self, frame, blueprint):
        self.frame, size = frame, blueprint.attributes
        self.width, self.height = int(size["image_size_x"]), int(size["image_size_y"])
        shape = (self.height, self.width)
        if "optical_flow" in blueprint.kind:
            self.raw_data = np.full((*shape, 2), frame, np.float32).tobytes()
            return
        pixels = np.zeros((*shape, 4), np.uint8)
        pixels[..., 2] = frame % (len(CITYSCAPES) + 1) if "semantic" in blueprint.kind else frame % 256
        self.raw_data = pixels.tobytes()


class Map:
    def get_spawn_points(self):
        return [Transform(Location(number)) for number in range(200)]


class WorldSettings:
    synchronous_mode, fixed_delta_seconds = False, 0.0


class World:
    def __init__(self):
        self.settings, self.weather = WorldSettings(), None

    def get_settings(self):
        return self.settings

    def apply_settings(self, world_settings):
        PLACE.log.append((world_settings.synchronous_mode, world_settings.fixed_delta_seconds))
        return 0

    def get_map(self):
        return Map()

    def get_blueprint_library(self):
        return BlueprintLibrary()

    def set_weather(self, weather):
        PLACE.log.append(weather)

    def try_spawn_actor(self, blueprint, transform, attach_to=None):
        taken = transform.location.x == PLACE.loses
        return None if taken else PLACE.add(Vehicle(blueprint))

    def spawn_actor(self, blueprint, transform, attach_to=None):
        assert attach_to.is_alive
        return PLACE.add(ServerSideSensor(blueprint))

    def tick(self, seconds=10.0):
        PLACE.frame += 1
        if PLACE.dies_at is not None and PLACE.frame >= PLACE.dies_at:
            raise RuntimeError("time-out of 60000ms while waiting for the simulator")
        for actor in list(PLACE.actors.values()):
            if (
                hasattr(actor, "callback")
                and actor.is_alive
                and (actor.blueprint.kind, PLACE.frame) not in PLACE.without
            ):
                actor.callback(Image(PLACE.frame, actor.blueprint))
            if isinstance(actor, Vehicle) and PLACE.frame == PLACE.kills_master_at:
                actor.is_alive = False
        return PLACE.frame


class TrafficManager:
    def set_synchronous_mode(self, mode_switch=True):
        PLACE.log.append(("traffic", mode_switch))

    def set_random_device_seed(self, value):
        PLACE.log.append(("seed", value))


class Client:
    def __init__(self, host="127.0.0.1", port=2000, worker_threads=0):
        self.host, self.port, self.world = host, port, World()

    def set_timeout(self, second):
        self.timeout = second

    def get_server_version(self):
        if self.port == 1:
            raise RuntimeError("time-out of 60000ms while waiting for the simulator")
        return "0.9.16"

    def get_trafficmanager(self, client_connection=8000):
        return TrafficManager()

    def load_world(self, map_name, reset_settings=True, map_layers=None):
        PLACE.town = map_name
        PLACE.actors.clear()
        return self.world

    def apply_batch_sync(self, commands, do_tick=False):
        return [one.run() for one in commands]


class command:  # noqa: N801 - a module of the real package
    FutureActor = 0

    class Response:
        actor_id, error = 0, ""

    class SetAutopilot:
        def __init__(self, actor, enabled, port=8000):
            self.port = port

    class SpawnActor:
        def __init__(self, blueprint, transform, parent=None):
            self.blueprint, self.transform = blueprint, transform

        def then(self, command):
            self.next = command
            return self

        def run(self):
            answer = command.Response()
            if self.transform.location.x % 10 == 0:
                answer.error = "collision at spawn position"
            else:
                answer.actor_id = PLACE.add(Vehicle(self.blueprint)).number
            return answer

    class DestroyActor:
        def __init__(self, actor):
            self.number = actor

        def run(self):
            PLACE.actors[self.number].destroy()
            return command.Response()
