"""Who is in the way: the nearest person or vehicle in the corridor that the vehicle is about to drive through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.driving.ground import GroundCamera, Reals
from vidseg_ros.driving.lane import Middle

NEAREST, FARTHEST = 2.5, 45.0  # m ahead of the camera
SMALLEST = 0.25  # m across that something in the way covers


@dataclass(frozen=True)
class Corridor:
    """Half the width (m) that must be free of one kind: ``kind`` is a look-up table of ids, bool (256,)."""

    kind: NDArray[np.bool_]
    half: float


def free_distance(
    labels: NDArray[np.uint8], camera: GroundCamera, middle: Middle, lane: float, corridor: Corridor
) -> float:
    """Distance (m) for which the corridor ahead is free in a label image, uint8 (H, W); infinite where nobody is in it.

    The corridor runs ``lane`` m to the left of the ``middle`` line. Somebody is as far away as the ground in the lowest
    row that shows them.
    """
    rows = np.arange(labels.shape[0], dtype=np.float64)
    ahead = camera.ahead(rows)
    seen = np.flatnonzero((ahead >= NEAREST) & (ahead <= FARTHEST))[::-1]  # from near to far
    ahead = ahead[seen]
    path = middle.left(ahead) + lane
    first, last = (_columns(camera.column(path + side * corridor.half, ahead), labels) for side in (1, -1))
    counts = np.zeros((len(seen), labels.shape[1] + 1), np.int64)
    np.cumsum(corridor.kind[labels[seen]], axis=1, out=counts[:, 1:])
    order = np.arange(len(seen))
    covered = (counts[order, last] - counts[order, first]) * ahead / camera.focal
    blocked = covered >= SMALLEST
    first = np.flatnonzero(blocked[:-1] & blocked[1:])[:1]  # one row alone is noise
    return float(ahead[first].item()) if len(first) else float("inf")


def _columns(place: Reals, labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.clip(np.rint(place), 0, labels.shape[1]).astype(np.intp)
