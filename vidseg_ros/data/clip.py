"""The one currency of offline work: consecutive frames with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one sequence.

    frames: RGB uint8 (T, H, W, 3). labels: ids uint8 (T, H, W), IGNORE where unknown. stamps: nanoseconds, int64 (T,),
    rising.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    stamps: NDArray[np.int64]
    sequence: str

    def __len__(self) -> int:
        return len(self.frames)
