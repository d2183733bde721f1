"""Vehicle control as messages: CARLA's where carla_msgs is installed, Ackermann on request, a joystick elsewhere.

A wheel and two pedals are what sensor_msgs/Joy is made for, and every ROS 2 has it: its axes are steer, throttle and
brake in the ranges of ``Control``. The built-in simulator takes CARLA's message and this one.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from sensor_msgs.msg import Joy
from std_msgs.msg import Header

from vidseg_ros.driving.control import Control
from vidseg_ros.driving.driver import DriverConfig
from vidseg_ros.errors import UserError
from vidseg_ros.schema import require_one_of

TOPIC = "vehicle_control_cmd"
ACCELERATION, BRAKING = 3.0, 7.0  # m/s^2 at full pedal, for messages that have no pedals


class Kind(NamedTuple):
    """A message type, the topic below the vehicle's name, and how it is filled from control and speed (m/s)."""

    message: Any
    topic: str
    write: Callable[[Control, float, Header], Any]
    read: Callable[[Any], Control] | None


def _carla(message: Any) -> Kind:
    def write(control: Control, speed: float, header: Header) -> Any:
        return message(header=header, steer=control.steer, throttle=control.throttle, brake=control.brake)

    return Kind(message, TOPIC, write, lambda m: Control(m.steer, m.throttle, m.brake))


def _ackermann(message: Any) -> Kind:
    def write(control: Control, speed: float, header: Header) -> Any:
        drive = message(header=header)
        acceleration = control.throttle * ACCELERATION - control.brake * BRAKING
        drive.drive.steering_angle = -control.steer * DriverConfig.max_steer
        drive.drive.acceleration = acceleration
        drive.drive.speed = max(speed + acceleration, 0.0)  # one second on
        return drive

    return Kind(message, "ackermann_control_cmd", write, None)


def _joy(message: Any) -> Kind:
    def write(control: Control, speed: float, header: Header) -> Any:
        return Joy(header=header, axes=[control.steer, control.throttle, control.brake])

    def read(joy: Any) -> Control:
        if len(joy.axes) < 3:
            raise UserError(f"a Joy message has {len(joy.axes)} axes; send steer, throttle and brake")
        return Control(*joy.axes[:3])

    return Kind(message, f"{TOPIC}_joy", write, read)


KINDS = {
    "carla": ("carla_msgs", "CarlaEgoVehicleControl", _carla),
    "ackermann": ("ackermann_msgs", "AckermannDriveStamped", _ackermann),
    "joy": ("sensor_msgs", "Joy", _joy),
}
AUTO = ("carla", "joy")


def find_control(name: str) -> Kind:
    """Return a kind of control message; ``auto`` takes the first of AUTO that is installed. Raises UserError."""
    require_one_of("control", name, ("auto", *KINDS))
    if name == "auto":
        name = next(kind for kind in AUTO if find_spec(KINDS[kind][0]))
    package, message, make = KINDS[name]
    if find_spec(package) is None:
        raise UserError(f"control '{name}' needs {package}, which is not installed; build it, or use control 'joy'")
    return make(getattr(import_module(f"{package}.msg"), message))


def readable_controls() -> list[Kind]:
    """Return the kinds that are installed and that the simulator takes."""
    installed = [find_control(name) for name, (package, *_) in KINDS.items() if find_spec(package)]
    return [kind for kind in installed if kind.read]
