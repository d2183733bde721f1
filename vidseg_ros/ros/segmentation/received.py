"""An image message as it came."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vidseg_ros.io.bag_reader import STAMP_END, header_stamp


@dataclass(frozen=True)
class Received:
    """A serialised image message, when it came, and how far its stamp is from that of the message before, nanoseconds.

    laps: when it was taken from the queue, read, segmented and answered.
    """

    data: bytes
    time: float
    elapsed: int
    laps: list[float] = field(default_factory=list)

    def after(self, dropped: Received) -> Received:
        """Return this message, with the distance of a dropped one where that is further from normal."""
        both = (self.elapsed, dropped.elapsed)
        return replace(self, elapsed=min(both) if min(both) < 0 else max(both))


def read_stamp(data: bytes) -> int:
    """The stamp, nanoseconds, of a serialised message that begins with a header (CDR); 0 where it is cut short."""
    return header_stamp(data) if len(data) >= STAMP_END else 0
