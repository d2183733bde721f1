"""The queue between the executor and the network: only the newest message of each camera waits."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Condition
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LatestQueue(Generic[K, V]):
    """One slot a key. ``put`` never waits; ``take`` waits for work and empties all slots."""

    def __init__(self) -> None:
        self._slots: dict[K, V] = {}
        self._changed = Condition()
        self._open = True

    def put(self, key: K, value: V) -> bool:
        """Put ``value`` into its slot; returns True where it replaced one that nobody took."""
        with self._changed:
            replaced = key in self._slots
            self._slots[key] = value
            self._changed.notify()
            return replaced

    def take(self) -> dict[K, V] | None:
        """Return what waits, oldest first, at least one item; None once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots or not self._open)
            if not self._open:
                return None
            taken, self._slots = self._slots, {}
            return taken

    def close(self) -> None:
        """Wake and dismiss the taker."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
