"""The one currency of offline work: consecutive frames with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one sequence.

    frames: RGB uint8 (T, H, W, 3). labels: ids uint8 (T, H, W), IGNORE where unknown. stamps: nanoseconds, int64 (T,),
    rising. flow: motion (dx, dy) in pixels of what each pixel shows until the next frame; exact, also where it is
    hidden there, or an estimate: float32 (T - 1, 2, H, W); backward: the same, exact, from each frame but the first to
    the one before. None where it is not known or was not asked for.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    stamps: NDArray[np.int64]
    sequence: str
    flow: NDArray[np.float32] | None = None
    backward: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frames)
