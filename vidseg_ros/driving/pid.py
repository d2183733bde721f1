"""A PID controller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gains:
    """Weights of the error, of its sum over time (1/s) and of its change (s); ``limit`` bounds the sum's share."""

    proportional: float
    integral: float = 0.0
    derivative: float = 0.0
    limit: float = 0.1


class Pid:
    """Turns an error into a correction; does without a derivative at the first step."""

    def __init__(self, gains: Gains) -> None:
        self._gains = gains
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._sum = 0.0
        self._last: float | None = None

    def step(self, error: float, seconds: float) -> float:
        """Correction of an ``error`` that is ``seconds`` after the last one."""
        gains = self._gains
        self._sum = min(max(self._sum + gains.integral * error * seconds, -gains.limit), gains.limit)
        change = 0.0 if self._last is None or seconds <= 0 else (error - self._last) / seconds
        self._last = error
        return gains.proportional * error + self._sum + gains.derivative * change
