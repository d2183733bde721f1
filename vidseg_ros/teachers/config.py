"""What teachers are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vidseg_ros.checkpoints.checkpoint import MEMORIES
from vidseg_ros.errors import UserError
from vidseg_ros.schema import require_one_of, require_positive


@dataclass(frozen=True)
class PseudoConfig:
    """Which labels of a teacher are kept: ``vidseg pseudo-label``."""

    confidence: float = 0.9  # probability of the label, averaged over the views
    scales: tuple[float, ...] = (0.75, 1.0, 1.25)  # of the teacher's input size
    flip: bool = True  # look at the mirrored frame, too
    agreement: bool = True  # the label must be that of the frames before and after, along the flow
    memory: str = "auto"  # of a checkpoint: as it says, or one of MEMORIES
    bidirectional: bool = False  # a checkpoint on the way forward and on the way back, the mean of both

    def __post_init__(self) -> None:
        if not 0 <= self.confidence < 1:
            raise UserError(f"confidence is {self.confidence}; use 0 to below 1")
        require_one_of("memory", self.memory, ("auto", *MEMORIES))
        if not self.scales:
            raise UserError("scales is empty; give at least one")
        require_positive(scales=min(self.scales))


@dataclass(frozen=True)
class TeacherConfig:
    """Teachers of ``vidseg train``; their probabilities are averaged."""

    names: tuple[str, ...]  # checkpoints, or hf:NAME; one that is named twice counts twice
    scales: tuple[float, ...] = (1.0,)  # of the size of the clips; a model of Hugging Face brings its own size
    flip: bool = False  # look at mirrored frames, too

    def __post_init__(self) -> None:
        for key in ("names", "scales"):
            if not getattr(self, key):
                raise UserError(f"teacher.{key} is empty; give at least one, or leave teacher out")
        require_positive(**{"teacher.scales": min(self.scales)})
