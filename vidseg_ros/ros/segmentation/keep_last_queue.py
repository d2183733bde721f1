"""The queue between the executor and the network: only the newest message of each camera waits."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Condition
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KeepLastQueue(Generic[K, V]):
    """One slot a key. ``put`` never waits; ``take`` waits for work and empties all slots.

    ``replace`` makes what stays of an old value and the new one that replaces it.
    """

    def __init__(self, replace: Callable[[V, V], V] = lambda old, new: new) -> None:
        self._replace = replace
        self._slots: dict[K, V] = {}
        self._changed = Condition()
        self._open = True

    def put(self, key: K, value: V) -> bool:
        """Put ``value`` into its slot; returns True where one is lost: that which it replaced, or itself at the end."""
        with self._changed:
            if not self._open:
                return True
            replaced = key in self._slots
            self._slots[key] = self._replace(self._slots[key], value) if replaced else value
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

    def close(self) -> list[K]:
        """Wake and dismiss the taker; returns the keys whose values nobody took."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
            left, self._slots = list(self._slots), {}
            return left
