"""What the classes of a label set are to a driver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.labels import LabelSet

ROAD = ("road",)
PEOPLE = ("pedestrian", "person", "bicyclist", "rider", "bicycle", "motorcycle")
VEHICLES = ("car", "truck", "bus", "train")


@dataclass(frozen=True)
class ClassRoles:
    """Look-up tables, bool (256,), from ids to whether one can drive there, and who may be in the way."""

    road: NDArray[np.bool_]
    people: NDArray[np.bool_]
    vehicles: NDArray[np.bool_]

    @staticmethod
    def of(labels: LabelSet) -> ClassRoles:
        """Find the classes of ``labels`` by their names. Raises UserError where none is a road: nobody drives on it."""
        if not set(ROAD) & set(labels.names):
            raise UserError(
                f"label set '{labels.name}' has no class '{ROAD[0]}' to drive on; use a checkpoint that has "
                "one, such as espnet_street"
            )
        return ClassRoles(*(_table(labels, names) for names in (ROAD, PEOPLE, VEHICLES)))


def _table(labels: LabelSet, names: tuple[str, ...]) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[[number for number, name in enumerate(labels.names) if name in names]] = True
    return table
