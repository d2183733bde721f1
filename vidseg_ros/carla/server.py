"""A CARLA server in synchronous mode, a town at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vidseg_ros.carla.labels import Tags, find_tags
from vidseg_ros.errors import UserError
from vidseg_ros.simulation.seeding import seeded_rng

TIMEOUT = 60.0  # s; loading a town takes long
RPC_PORT, TRAFFIC_PORT = 2000, 8000
PORT_STEP = 10  # between the servers of several workers


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the port for its traffic manager."""

    host: str
    port: int
    traffic_port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def of_worker(self, number: int) -> Address:
        """Address of the server of another worker."""
        return Address(self.host, self.port + PORT_STEP * number, self.traffic_port + PORT_STEP * number)


class ServerLostError(UserError):
    """The server does not answer, or no longer."""


def load_api() -> Any:
    """The package ``carla``. Raises UserError where it is missing."""
    try:
        return import_module("carla")
    except ImportError as error:
        raise UserError(f"the CARLA client is missing ({error}); pip install 'vidseg_ros[carla]'") from error


@contextmanager
def answering(address: Address) -> Iterator[None]:
    """Turn what the client raises when the server is gone into ServerLostError."""
    try:
        yield
    except RuntimeError as error:
        raise ServerLostError(
            f"CARLA at {address} does not answer ({error}); start it and run the same command again: finished scenes "
            "are kept"
        ) from error


class Server:
    """One client; ``load`` brings a town with its traffic, ``close`` leaves the server as it was."""

    def __init__(self, api: Any, address: Address, fps: float, seed: int) -> None:
        self.api, self.address, self._fps, self._seed = api, address, fps, seed
        with answering(address):
            self.client = api.Client(address.host, address.port)
            self.client.set_timeout(TIMEOUT)
            self.tags: Tags = find_tags(self.client.get_server_version())
            self._traffic = self.client.get_trafficmanager(address.traffic_port)
        self._town = ""
        self._vehicles: list[int] = []
        self.world: Any = None

    def load(self, town: str, vehicles: int) -> None:
        """Load ``town`` unless it is, switch to exact steps of 1 / fps, and spawn traffic."""
        if town == self._town:
            return
        with answering(self.address):
            self.world = self.client.load_world(town)
            settings = self.world.get_settings()
            settings.synchronous_mode, settings.fixed_delta_seconds = True, 1 / self._fps
            self.world.apply_settings(settings)
            self._traffic.set_synchronous_mode(True)
            self._traffic.set_random_device_seed(self._seed)
            self._spawn_traffic(vehicles)
        self._town = town

    def _spawn_traffic(self, count: int) -> None:
        """Spawn up to ``count`` vehicles on autopilot; places where one does not fit stay empty."""
        rng, command = seeded_rng(self._seed, 11), self.api.command
        points = self.world.get_map().get_spawn_points()
        blueprints = list(self.world.get_blueprint_library().filter("vehicle.*"))
        batch = []
        for place in rng.permutation(len(points))[:count].tolist():
            blueprint = blueprints[int(rng.integers(len(blueprints)))]
            pilot = command.SetAutopilot(command.FutureActor, True, self.address.traffic_port)
            batch.append(command.SpawnActor(blueprint, points[place]).then(pilot))
        answers = self.client.apply_batch_sync(batch, True)
        self._vehicles = [answer.actor_id for answer in answers if not answer.error]

    def close(self) -> None:
        """Take the traffic away and let the server run freely again."""
        if self.world is None:
            return
        with answering(self.address):
            self.client.apply_batch_sync([self.api.command.DestroyActor(number) for number in self._vehicles], True)
            self._traffic.set_synchronous_mode(False)
            settings = self.world.get_settings()
            settings.synchronous_mode, settings.fixed_delta_seconds = False, 0.0
            self.world.apply_settings(settings)
