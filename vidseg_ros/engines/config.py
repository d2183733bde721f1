"""What runs the network, and where."""

from __future__ import annotations

from dataclasses import dataclass

from vidseg_ros.checkpoints.checkpoint import MEMORIES
from vidseg_ros.engines.registry import PRECISIONS, RUNTIMES
from vidseg_ros.flow.estimator import AUTO, FlowConfig
from vidseg_ros.schema import THREADS, require_not_negative, require_one_of, require_range

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
    flow: str = AUTO  # what estimates it, where it is wanted, see FlowConfig.named; auto: as the checkpoint says

    def __post_init__(self) -> None:
        require_one_of("engine", self.engine, ENGINES)
        require_one_of("precision", self.precision, PRECISIONS)
        FlowConfig().named(self.flow)
        require_one_of("memory", self.memory, ("auto", *MEMORIES))
        require_not_negative(threads=self.threads, hysteresis=self.hysteresis or 0)
        require_range(0, THREADS, threads=self.threads)
