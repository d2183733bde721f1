"""The drivable area ahead and its middle line, from one label image after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.driving.class_roles import ClassRoles
from vidseg_ros.driving.ground import GroundCamera, Reals

NEAR, FAR, ROWS = 5.0, 24.0, 24  # m ahead; rows in which edges are looked for
GATE = 1.2  # m by which an edge may miss what is expected, once the road is known
SOFT = 0.3  # m from which a single edge counts for less, once the road is known
EDGE = 0.5  # deviation of an edge, m
FRINGE = 0.8  # m
ROUNDS = 4
# what is known before the first image, of a vehicle that stands straight in its lane on a road of unknown width; its
# deviation; what may change between two images
START = (0.0, 0.0, 4.5, 2.0)
UNSURE = np.asarray([0.15, 0.04, 0.006, 1.2, 0.4])
DRIFT = np.asarray([0.15, 0.04, 0.0012, 0.05, 0.03])


@dataclass(frozen=True)
class Middle:
    """Middle line of the road: ``offset + slope * z + bend * z**2`` m to the left at z m ahead.

    The road ends ``half`` m to either side, and what is parked on it ``parked`` m earlier. ``edges`` were seen.
    """

    offset: float
    slope: float
    bend: float
    half: float
    parked: float
    edges: int = 0

    def left(self, ahead: Reals) -> Reals:
        """Place of the line at ``ahead``, m to the left."""
        return np.asarray(self.offset + self.slope * ahead + self.bend * ahead**2)


class LaneFinder:
    """Follows the middle of the drivable area; what an image does not show is taken from those before.

    ``lane`` is how far to the left of it one drives, m.
    """

    def __init__(self, camera: GroundCamera, roles: ClassRoles, lane: float) -> None:
        self._camera, self._roles, self._lane = camera, roles, lane
        self._distances = np.geomspace(NEAR, FAR, ROWS)
        self.forget()

    def forget(self) -> None:
        """Begin afresh."""
        self._last = np.asarray([-self._lane, *START])
        self._known = False

    def move(self, distance: float, turn: float) -> None:
        """Say how far the camera has gone ahead (m) and turned to the left (rad) since the last image."""
        offset, slope, bend, *rest = map(float, self._last)
        offset += slope * distance + bend * distance**2
        self._last = np.asarray([offset, slope + 2 * bend * distance - turn, bend, *rest])

    def find(self, labels: NDArray[np.uint8]) -> Middle:
        """Middle line in a label image, uint8 (H, W)."""
        ahead, left, side, parked = self._edges(labels)
        design = np.stack([np.ones_like(ahead), ahead, ahead**2, side, -side * parked], 1)
        spread, soft, gate = (DRIFT, SOFT, GATE) if self._known else (UNSURE, 3 * SOFT, 3 * GATE)
        estimate = self._last
        for _ in range(ROUNDS):  # least squares that trust what misses the last estimate the less
            miss = np.abs(left - design @ estimate)
            trust = soft**2 / (soft**2 + miss**2) * (miss < gate)
            weighted = design * trust[:, None] / EDGE**2
            system = weighted.T @ design + np.diag(spread**-2.0)
            estimate = np.linalg.solve(system, weighted.T @ left + self._last / spread**2)
        count = int((trust > 0).sum())
        self._known = self._known or count >= ROWS // 2
        self._last = estimate
        return replace(_middle(estimate), edges=count)

    def _edges(self, labels: NDArray[np.uint8]) -> tuple[Reals, Reals, Reals, Reals]:
        """Columns where the drivable area ends in each row.

        Metres ahead; metres left; 1 for left edges, -1 for right ones; 1 where a vehicle begins, 0 else.
        """
        found: list[tuple[float, float, float, float]] = []
        expected = _middle(self._last).left(self._distances) + self._lane
        rows = np.rint(self._camera.row(self._distances)).astype(int)
        starts = np.rint(self._camera.column(expected, self._distances)).astype(int)
        below = max(labels.shape[0] // 120, 1)
        for row, start, ahead in zip(rows.tolist(), starts.tolist(), self._distances.tolist(), strict=True):
            if row + below < labels.shape[0] and 0 <= start < labels.shape[1]:
                found += self._ends(labels[row], labels[row + below], start, ahead)
        ahead, left, side, parked = np.asarray(found, np.float64).reshape(-1, 4).T
        return ahead, left, side, parked

    def _ends(
        self, labels: NDArray[np.uint8], below: NDArray[np.uint8], start: int, ahead: float
    ) -> Iterator[tuple[float, float, float, float]]:
        """Yield the edges of the road about column ``start`` of one row of labels.

        What has no road ``below`` it hides the edge; so do people, and vehicles that come along the other lane. The
        border of the image is no edge. Something narrow in front of a vehicle may be part of it, or the kerb in the gap
        before it, and is none either.
        """
        road, people, vehicles = self._roles.road, self._roles.people, self._roles.vehicles
        if not road[labels[start]]:
            return
        stops = np.flatnonzero(~road[labels])
        right = int(np.searchsorted(stops, start))
        fringe = max(round(FRINGE * self._camera.focal / ahead), 1)
        for place, side in ((right - 1, 1), (right, -1)):
            if not 0 <= place < len(stops):
                continue
            stop = int(stops[place])
            beyond = labels[max(stop - fringe, 0) : stop + 1] if side > 0 else labels[stop : stop + fringe + 1]
            parked = bool(vehicles[labels[stop]])
            if vehicles[beyond].any() and not parked:
                continue
            if road[below[stop]] and not people[labels[stop]] and not (parked and side * self._lane < 0):
                left = self._camera.left(np.asarray(stop + side / 2), np.asarray(ahead))
                yield ahead, float(left), float(side), float(parked)


def _middle(estimate: Reals) -> Middle:
    offset, slope, bend, half, parked = map(float, estimate)
    return Middle(offset, slope, bend, half, parked)
