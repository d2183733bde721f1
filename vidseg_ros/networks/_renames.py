"""From the names of released files (Cityscapes, 19 train ids, crops of 1024x1024) to the names of this package."""

from __future__ import annotations

from vidseg_ros.config import InputConfig

RELEASED_INPUT = InputConfig((1024, 512), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""Input of these releases: RGB with the mean and standard deviation of ImageNet."""

Renames = tuple[tuple[str, str], ...]
"""Pairs of a regular expression and what replaces it, applied one after the other."""

IGNORED: tuple[str, ...] = ()
"""Regular expressions of names that inference does not need: these files have none, no auxiliary heads either."""
