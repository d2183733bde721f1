"""What a driver tells a vehicle."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vidseg_ros.errors import UserError


@dataclass(frozen=True)
class Control:
    """Pedals and wheel as CARLA has them: ``steer`` -1 left .. 1 right, ``throttle`` and ``brake`` 0..1.

    Numbers beyond that are cut; what is no number is refused with UserError.
    """

    steer: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0

    def __post_init__(self) -> None:
        for name, low in (("steer", -1.0), ("throttle", 0.0), ("brake", 0.0)):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise UserError(f"vehicle control {name} is {value}; send a finite number")
            object.__setattr__(self, name, min(max(value, low), 1.0))


FULL_STOP = Control(brake=1.0)
