"""What a replay does with every input."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.io.frame import DEFAULT_FPS
from vidseg_ros.schema import require_positive
from vidseg_ros.stream import StreamConfig


@dataclass(frozen=True)
class ReplayConfig:
    """What is done with every input."""

    checkpoint: str
    compare: str = ""  # a second checkpoint
    topics: tuple[str, ...] = ()  # cameras of bags; none: the only one
    labels: str = ""  # label topic or folder of ground truth
    palette: str = ""  # label set of the ground truth; none: that of the checkpoint
    fps: float = DEFAULT_FPS  # of folders of images
    frames: int | None = None  # at most
    # what `auto` takes depends on what is installed; PyTorch is everywhere, and the same everywhere
    engine: EngineConfig = field(default_factory=lambda: EngineConfig(engine="torch"))
    stream: StreamConfig = field(default_factory=StreamConfig)
    bidirectional: bool = False  # the mean of the way forward and the way back, see BidirectionalStream

    def __post_init__(self) -> None:
        require_positive(fps=self.fps, frames=1 if self.frames is None else self.frames)

    @property
    def checkpoints(self) -> list[str]:
        """One or two."""
        return [self.checkpoint, *([self.compare] if self.compare else [])]
