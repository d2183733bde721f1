"""Find what belongs together by its stamp."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING = 100  # messages of each kind that wait for their partner


class ExactTimeSynchronizer(Generic[T]):
    """Messages of two kinds that wait for each other; what waits too long, or lies before a jump of time, is lost."""

    def __init__(self, kinds: tuple[str, str]) -> None:
        self._waiting: dict[str, OrderedDict[int, T]] = {kind: OrderedDict() for kind in kinds}
        self._newest = dict.fromkeys(kinds, -1)
        self.lost = dict.fromkeys(kinds, 0)

    def put(self, kind: str, stamp: int, item: T) -> T | None:
        """Take in an item with its stamp (ns); return the partner it waited for, if any."""
        if stamp < self._newest[kind]:
            self.give_up()
        self._newest[kind] = stamp
        other = next(name for name in self._waiting if name != kind)
        partner = self._waiting[other].pop(stamp, None)
        if partner is None:
            self._waiting[kind][stamp] = item
            if len(self._waiting[kind]) > WAITING:
                self._waiting[kind].popitem(last=False)
                self.lost[kind] += 1
        return partner

    def give_up(self) -> None:
        """Wait no longer: nobody who waits will find a partner."""
        for kind, waiting in self._waiting.items():
            self.lost[kind] += len(waiting)
            waiting.clear()
            self._newest[kind] = -1
