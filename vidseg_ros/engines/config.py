"""What runs the network, and where."""

from __future__ import annotations

from dataclasses import dataclass

from vidseg_ros.checkpoints.checkpoint import MEMORIES
from vidseg_ros.engines.registry import PRECISIONS, RUNTIMES
from vidseg_ros.errors import UserError
from vidseg_ros.schema import require_finite, require_one_of

ENGINES = ("auto", *RUNTIMES)


@dataclass(frozen=True)
class EngineConfig:
    """What runs the network, and where."""

    engine: str = "auto"  # the fastest that is installed for the device
    device: str = "auto"  # the first GPU, or the CPU
    threads: int = 0  # of the CPU; 0: as many as the runtime sees fit
    precision: str = "f32"  # of the arithmetic; the lower ones trade a few labels for speed
    hysteresis: float | None = None  # logits by which a new label must beat the last one; None: as the checkpoint says
    memory: str = "auto"  # as the checkpoint says; network: its own; flow: and along the optical flow; off: none
    warped: bool | None = None  # move what a cell remembers and the last labels along the flow; None: as the checkpoint

    def __post_init__(self) -> None:
        require_one_of("engine", self.engine, ENGINES)
        require_one_of("precision", self.precision, PRECISIONS)
        require_one_of("memory", self.memory, ("auto", *MEMORIES))
        for key in ("threads", "hysteresis"):
            value = getattr(self, key) or 0
            require_finite(**{key: value})
            if value < 0:
                raise UserError(f"{key} is {value}; it must not be negative")
