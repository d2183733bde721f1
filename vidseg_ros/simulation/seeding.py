"""Random numbers that a key alone decides, on any machine."""

from __future__ import annotations

import numpy as np


def seeded_rng(*key: int) -> np.random.Generator:
    """The random generator that belongs to ``key``; numbers may be negative."""
    return np.random.default_rng([number % 2**32 for number in key])
