"""Record one scene after the other, in the layout that training reads (data/recorded_scenes.py)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.carla.labels import Tags, decode_tags
from vidseg_ros.carla.scenario import FPS, FRAMES, TOWNS, WEATHERS, Scene
from vidseg_ros.carla.server import Server, answering
from vidseg_ros.errors import UserError
from vidseg_ros.io.images import write_image
from vidseg_ros.labels import CITYSCAPES

PART = ".part"  # ending of the folder of a scene that is not finished
EGO = "vehicle.tesla.model3"
IMAGE_TIMEOUT = 10.0  # s for a picture after its step
MOUNT = {"x": 1.5, "z": 1.6}  # of the cameras on the vehicle, m
CAMERAS = {
    "rgb": "sensor.camera.rgb",
    "labels": "sensor.camera.semantic_segmentation",
    "depth": "sensor.camera.depth",
    "flow": "sensor.camera.optical_flow",
}
OPTIONAL = ("depth", "flow")  # recorded where the server has them


@dataclass(frozen=True)
class CameraConfig:
    """Size in pixels and horizontal angle of view, degrees."""

    width: int = 1024
    height: int = 512
    fov: float = 90.0


class SceneFailedError(UserError):
    """One scene could not be recorded; the next may."""


class Recorder:
    """Records scenes of one server below ``output``."""

    def __init__(self, server: Server, output: Path, camera: CameraConfig, seed: int) -> None:
        self._server, self._output, self._camera, self._seed = server, output, camera, seed

    def record(self, scene: Scene) -> bool:
        """Record a scene unless its folder is there; returns whether it was.

        It is written beside its place and moved there when it is whole. Raises SceneFailedError, or ServerLostError.
        """
        folder = self._output / scene.name
        if folder.is_dir():
            return False
        part = folder.with_name(folder.name + PART)
        shutil.rmtree(part, ignore_errors=True)  # half-written by a run that was ended
        self._server.load(scene.town, TOWNS[scene.town].vehicles)
        with answering(self._server.address), self._vehicle(scene) as (vehicle, queues):
            for name in queues:
                (part / name).mkdir(parents=True)
            for _ in range(round(scene.settle(self._seed) * FPS)):
                self._step(queues, vehicle)
            for number in range(FRAMES):
                self._write(part, number, self._step(queues, vehicle))
        (part / "scene.json").write_text(json.dumps({"fps": FPS, "labels": CITYSCAPES.name}) + "\n")
        part.rename(folder)
        return True

    @contextmanager
    def _vehicle(self, scene: Scene) -> Iterator[tuple[Any, dict[str, Queue[Any]]]]:
        """Spawn the camera vehicle with its cameras; take all away in the end."""
        world, api = self._server.world, self._server.api
        world.set_weather(getattr(api.WeatherParameters, WEATHERS[scene.weather]))
        points = world.get_map().get_spawn_points()
        library = world.get_blueprint_library()
        if scene.spawn >= len(points):
            raise SceneFailedError(f"{scene.name}: {scene.town} has {len(points)} spawn points")
        vehicle = world.try_spawn_actor(library.find(EGO), points[scene.spawn])
        if vehicle is None:
            raise SceneFailedError(f"{scene.name}: spawn point {scene.spawn} is taken")
        actors = [vehicle]
        queues: dict[str, Queue[Any]] = {}
        try:
            vehicle.set_autopilot(True, self._server.address.traffic_port)
            for name in CAMERAS:
                if (blueprint := self._blueprint(library, name)) is not None:
                    mount = api.Transform(api.Location(**MOUNT))
                    sensor = world.spawn_actor(blueprint, mount, attach_to=vehicle)
                    actors.append(sensor)
                    queues[name] = Queue()
                    sensor.listen(queues[name].put)
            yield vehicle, queues
        finally:
            self._remove(actors)

    def _blueprint(self, library: Any, name: str) -> Any:
        """Blueprint of the camera, or None for an optional one that the server does not have."""
        try:
            blueprint = library.find(CAMERAS[name])
        except IndexError:
            if name in OPTIONAL:
                return None
            raise UserError(f"the server has no {CAMERAS[name]}; use CARLA 0.9.10 or later") from None
        for key, value in (("image_size_x", self._camera.width), ("image_size_y", self._camera.height)):
            blueprint.set_attribute(key, str(value))
        blueprint.set_attribute("fov", str(self._camera.fov))
        return blueprint

    def _remove(self, actors: list[Any]) -> None:
        """Destroy sensors before their vehicle; a server that is gone has none."""
        try:
            for actor in reversed(actors):
                if actor.is_alive:
                    actor.destroy()
        except RuntimeError:
            pass

    def _step(self, queues: dict[str, Queue[Any]], vehicle: Any) -> dict[str, Any]:
        """Take one step; return the picture of each camera of just that step."""
        frame = self._server.world.tick()
        if not vehicle.is_alive:
            raise SceneFailedError("the camera vehicle is gone")
        return {name: _picture(queue, frame, name) for name, queue in queues.items()}

    def _write(self, part: Path, number: int, pictures: dict[str, Any]) -> None:
        for name, picture in pictures.items():
            file = part / name / f"{number:06d}"
            if name == "flow":
                np.save(file, _pixels(picture, np.float32, 2))
            else:
                bgra = _pixels(picture, np.uint8, 4)
                pixels = _ids(bgra, self._server.tags) if name == "labels" else bgra[..., :3]
                write_image(file.with_suffix(".png"), np.ascontiguousarray(pixels))


def _picture(queue: Queue[Any], frame: int, name: str) -> Any:
    """Wait for the picture of step ``frame``, and pass older ones over."""
    while True:
        try:
            picture = queue.get(timeout=IMAGE_TIMEOUT)
        except Empty:
            raise SceneFailedError(f"no {name} picture came for step {frame}") from None
        if picture.frame == frame:
            return picture
        if picture.frame > frame:
            raise SceneFailedError(f"the {name} picture of step {frame} is missing")


def _pixels(picture: Any, kind: Any, channels: int) -> NDArray[Any]:
    return np.frombuffer(picture.raw_data, kind).reshape(picture.height, picture.width, channels)


def _ids(bgra: NDArray[np.uint8], tags: Tags) -> NDArray[np.uint8]:
    return decode_tags(bgra, tags, CITYSCAPES)
