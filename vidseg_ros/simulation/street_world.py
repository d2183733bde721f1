"""A camera drives down an endless made-up street: pictures, exact labels and exact optical flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.schema import require_one_of
from vidseg_ros.simulation.projection import PinholeCamera, Placed
from vidseg_ros.simulation.rasterizer import Raster, rasterize
from vidseg_ros.simulation.road import TIGHTEST, Road
from vidseg_ros.simulation.seeding import seeded_rng
from vidseg_ros.simulation.shading import Light, colors
from vidseg_ros.simulation.street import Street, draw_street
from vidseg_ros.simulation.street_model import StreetModel, Surroundings

Floats = NDArray[np.float64]

_HORIZON = 0.45  # share of the picture above the horizon when the camera is level
_FOCAL = 0.85  # focal length as a share of the picture's width
_GRAIN_MARGIN = 64


class Weather(NamedTuple):
    """What the weather does to the light."""

    sight: float = 260.0  # distance over which haze takes away 63 % of the contrast, m
    brightness: float = 1.0  # of the picture
    clear: float | None = None  # 0 overcast .. 1 sunny; None: as the street has it


WEATHERS = {
    "drawn": Weather(),
    "sunny": Weather(clear=1.0),
    "overcast": Weather(clear=0.0),
    "rain": Weather(sight=110.0, brightness=0.75, clear=0.1),
    "fog": Weather(sight=45.0, brightness=0.95, clear=0.0),
    "dusk": Weather(sight=200.0, brightness=0.45, clear=0.2),
}


@dataclass(frozen=True)
class StreetWorldConfig:
    """Size and pace of the video and quality of the camera; ``seed`` draws the street and all that moves in it."""

    width: int = 480
    height: int = 360
    fps: float = 15.0
    seed: int = 0
    speed: float = 9.0  # mean of the built-in drive, m/s
    sway: float = 0.3  # m the drive wanders off the middle of its lane, at most
    flicker: float = 0.02  # deviation of the exposure from frame to frame, as a share
    noise: float = 3.0  # deviation of the sensor noise, grey levels
    blur: float = 0.6  # deviation of the lens blur, pixels
    bend: float = 0.0  # strongest curvature of the street, 1/m; 0 is straight
    weather: str = "drawn"  # by lot with the street, or a name of WEATHERS
    shared: bool = False  # the camera is on a vehicle that others make room for: one lane each way, kept to the right

    def __post_init__(self) -> None:
        for name in ("width", "height", "seed"):
            if int(getattr(self, name)) != getattr(self, name):
                raise UserError(f"street world {name} {getattr(self, name)} is not a whole number; use one")
        _check("width", self.width, 16, 4096)
        _check("height", self.height, 16, 4096)
        _check("fps", self.fps, 0.1, 1000)
        _check("seed", self.seed, 0, 2**31 - 1)
        _check("speed", self.speed, 0.5, 40)
        _check("sway", self.sway, 0, 0.6)
        _check("flicker", self.flicker, 0, 0.5)
        _check("noise", self.noise, 0, 64)
        _check("blur", self.blur, 0, 5)
        _check("bend", self.bend, 0, TIGHTEST)
        require_one_of("street world weather", self.weather, WEATHERS)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also catches NaN
        raise UserError(f"street world {name} {value} is out of range; use {low} to {high}")


@dataclass(frozen=True)
class Pose:
    """Place of the camera: x along the street, y to the left of its middle, metres.

    ``heading`` turns left from the direction of the street and ``pitch`` looks down, rad.
    """

    x: float
    y: float
    heading: float = 0.0
    pitch: float = 0.0
    height: float = 1.4


@dataclass(frozen=True, eq=False)
class WorldFrame:
    """One picture with its truth."""

    labels: NDArray[np.uint8]  # (H, W), CamVid ids
    stamp: float  # seconds
    _picture: Callable[[], NDArray[np.uint8]] = field(repr=False)
    _raster: Raster = field(repr=False)
    _moved: Callable[[Pose, float], Placed] = field(repr=False)  # its polygons, seen from a pose at a time
    _next: tuple[Pose, float] = field(repr=False)

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture, uint8 (H, W, 3). Painted when first asked for: who drives by true labels needs none."""
        return self._picture()

    @cached_property
    def flow(self) -> NDArray[np.float32]:
        """Forward motion (dx, dy) in pixels of the surface point at each pixel until the next frame, (H, W, 2).

        Whether the point is hidden there does not matter. Worked out when first asked for.
        """
        return self.flow_to(*self._next)

    def flow_to(self, pose: Pose, time: float) -> NDArray[np.float32]:
        """The same until the camera is, or since it was, at ``pose`` at ``time``, seconds."""
        return self._raster.flow(self._moved(pose, time).axes @ self._raster.placed.from_rays)


class StreetWorld:
    """The street of one configuration; every frame depends on nothing but that and its index."""

    def __init__(self, config: StreetWorldConfig = StreetWorldConfig()) -> None:
        self.config = config
        self.road, self._weather = Road(config.bend, config.seed), WEATHERS[config.weather]
        self._model = StreetModel(self._draw_street(), self.road, config.speed, config.shared)
        rng = seeded_rng(config.seed, 7)
        self._phases = rng.uniform(0, 2 * np.pi, 12)
        shape = (config.height + _GRAIN_MARGIN, config.width + _GRAIN_MARGIN, 3)
        grain = np.clip(rng.normal(0, config.noise, shape), -127, 127).astype(np.int16)
        self._grain = np.maximum(grain, 0).astype(np.uint8), np.maximum(-grain, 0).astype(np.uint8)

    def _draw_street(self) -> Street:
        street = draw_street(self.config.seed)
        if self._weather.clear is not None:
            street = replace(street, clear=self._weather.clear)
        return replace(street, lanes=1, right=1) if self.config.shared else street

    def frame(self, index: int) -> WorldFrame:
        """Frame ``index`` (0, 1, 2 ...) of the built-in drive."""
        if index < 0:
            raise UserError(f"street world frame {index} does not exist; use 0 or more")
        time, later = index / self.config.fps, (index + 1) / self.config.fps
        return self.render(self.drive(time), time, self.drive(later), later)

    def drive(self, time: float) -> Pose:
        """Where the built-in drive has the camera at ``time``, seconds."""
        config, phase = self.config, self._phases
        surge = 0.3 * config.speed / 0.25  # the speed varies by 30 %
        x = config.speed * time + min(surge, 5.0) * np.sin(0.25 * time + phase[0])
        sway = [(0.7 * config.sway, 1 / 14, phase[1]), (0.3 * config.sway, 1 / 5, phase[2])]
        y = self._model.street.lane + sum(size * np.sin(x * rate + start) for size, rate, start in sway)
        heading = sum(size * rate * np.cos(x * rate + start) for size, rate, start in sway)
        heading += 0.03 * np.sin(x / 60 + phase[3]) + 0.012 * np.sin(x / 17 + phase[4])
        bump = 0.0035 * np.sin(x / 1.9 + phase[5]) + 0.003 * np.sin(x / 4.7 + phase[6])
        return Pose(float(x), float(y), float(heading), float(bump), 1.4)

    def render(
        self, pose: Pose, time: float, next_pose: Pose | None = None, next_time: float | None = None
    ) -> WorldFrame:
        """What a camera at ``pose`` sees at ``time`` (s), with the flow until it is at ``next_pose``.

        Without ``next_pose`` the camera stands still; without ``next_time`` the next frame is one frame period later.
        """
        later = time + 1 / self.config.fps if next_time is None else next_time
        camera = self.camera(pose)
        near = self.surroundings(pose.x, time, backward=bool(np.cos(pose.heading) < 0))
        raster = rasterize(near.polygons, near.poses(time, camera), camera, time)

        def picture() -> NDArray[np.uint8]:
            return self._expose(colors(raster, self._light(time)), time)

        def moved(pose: Pose, time: float) -> Placed:
            camera = self.camera(pose)
            return Placed.of(near.poses(time, camera).posed(raster.polygons, time), camera)

        return WorldFrame(raster.labels, time, picture, raster, moved, (next_pose or pose, later))

    @property
    def lane(self) -> float:
        """Place of the middle of the camera's lane, m to the left of the middle of the street."""
        return self._model.street.lane

    def surroundings(self, x: float, time: float, backward: bool = False) -> Surroundings:
        """What may be seen at ``x`` along the street at ``time``, looking along the street or ``backward``."""
        return self._model.near(x, time, backward)

    def camera(self, pose: Pose) -> PinholeCamera:
        """The camera at ``pose``."""
        config = self.config
        heading = pose.heading + self.road.heading(pose.x)
        cos, sin, level, dip = np.cos(heading), np.sin(heading), np.cos(pose.pitch), np.sin(pose.pitch)
        right = np.asarray([sin, -cos, 0.0])
        ahead = np.asarray([cos * level, sin * level, -dip])
        axes = np.stack([right, np.cross(ahead, right), ahead])
        center = ((config.width - 1) / 2, (config.height - 1) * _HORIZON)
        place = np.asarray([*self.road.place(pose.x, pose.y), pose.height])
        street = np.asarray([pose.x, pose.y])
        return PinholeCamera(config.width, config.height, _FOCAL * config.width, center, place, axes, street)

    def _light(self, time: float) -> Light:
        """Let clouds, colour and exposure drift slowly, and the exposure flicker."""
        street, phase = self._model.street, self._phases
        cloud = 0.75 + 0.25 * np.sin(0.11 * time + phase[7])
        low = 1 - np.sin(street.sun[0])
        warm = 0.02 * np.sin(0.07 * time + phase[8])
        sun = street.clear * cloud * np.asarray([1.0, 0.93 - 0.12 * low, 0.82 - 0.3 * low])
        ambient = (1.0 - 0.36 * street.clear) * np.asarray([0.97 + warm, 1.0, 1.06 - warm])
        drift = 1 + 0.07 * np.sin(0.23 * time + phase[9]) + 0.04 * np.sin(0.61 * time + phase[10])
        jitter = 1 + self.config.flicker * np.clip(self._lot(time).standard_normal(), -3, 3)
        haze = np.asarray([0.76, 0.79, 0.83])
        exposure = float(drift * jitter * self._weather.brightness)
        return Light(street.to_sun, sun, ambient, haze, self._weather.sight, exposure)

    def _lot(self, time: float) -> np.random.Generator:
        return seeded_rng(self.config.seed, 8, round(time * 1000))

    def _expose(self, picture: NDArray[np.uint8], time: float) -> NDArray[np.uint8]:
        """Add the blur of the lens and the noise of the sensor."""
        config = self.config
        if config.blur:
            picture = np.asarray(cv2.GaussianBlur(picture, (3, 3), config.blur))
        if not config.noise:
            return picture
        top, left = self._lot(time).integers(0, _GRAIN_MARGIN, 2).tolist()
        more, less = (grain[top : top + config.height, left : left + config.width] for grain in self._grain)
        return np.asarray(cv2.subtract(cv2.add(picture, more), less))
