"""Between pixels and the ground: a camera that looks level ahead over a flat road."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class GroundCamera:
    """Focal length and centre in pixels, as camera_info has them, and height above the road, m.

    Places on the ground are metres ahead of the camera and to its left.
    """

    focal: float
    center: tuple[float, float]  # (column, row)
    height: float

    def __post_init__(self) -> None:
        if not (self.focal > 0 and self.height > 0):
            raise UserError(
                f"camera has focal length {self.focal} and height {self.height}; both must be above 0: publish a "
                "camera_info with intrinsics"
            )

    def row(self, ahead: Reals) -> Reals:
        """Image row of ground ``ahead`` (m) of the camera."""
        return np.asarray(self.center[1] + self.focal * self.height / ahead)

    def ahead(self, row: Reals) -> Reals:
        """Distance (m) of the ground at an image row; infinite from the horizon upwards."""
        below = np.maximum(np.asarray(row, np.float64) - self.center[1], 0)
        with np.errstate(divide="ignore"):
            return np.asarray(self.focal * self.height / below)

    def column(self, left: Reals, ahead: Reals) -> Reals:
        """Image column of ground ``left`` and ``ahead`` (m)."""
        return np.asarray(self.center[0] - self.focal * left / ahead)

    def left(self, column: Reals, ahead: Reals) -> Reals:
        """Place, m to the left, of the ground at an image column and ``ahead`` m."""
        return np.asarray((self.center[0] - column) * ahead / self.focal)
