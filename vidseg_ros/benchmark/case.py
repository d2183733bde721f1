"""What is timed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.registry import engine_of_file
from vidseg_ros.errors import UserError

REFERENCE = "reference"


@dataclass(frozen=True)
class Case:
    """One engine at one frame size with so many streams."""

    checkpoint: str
    config: EngineConfig
    size: tuple[int, int]  # (width, height)
    cameras: int = 1
    reference: bool = False  # the yardstick instead of the engine of ``config``
    code: str = ""  # a checkout of this project to run; "" is this one

    @property
    def engine(self) -> str:
        """The name of what runs."""
        if self.reference:
            return REFERENCE
        return self.checkpoint if self.is_file else self.config.engine

    @property
    def is_file(self) -> bool:
        """Whether a file of ``vidseg export`` runs."""
        return engine_of_file(self.checkpoint) is not None

    @property
    def key(self) -> tuple[tuple[int, int], int]:
        """What a case has in common with the reference that it is compared with."""
        return self.size, self.cameras

    def plain(self) -> dict[str, Any]:
        """What it says, as JSON has it; whose code runs is left out."""
        return {name: value for name, value in asdict(self).items() if name != "code"}


DEFAULTS = Case("", EngineConfig(), (0, 0)).plain()
"""What a case says that asks for nothing."""


def with_engine(case: Case, text: str) -> Case:
    """Case with the engine ``NAME`` or ``NAME:PRECISION``, or a file of ``vidseg export``."""
    name, _, precision = text.partition(":")
    if name == REFERENCE:
        raise UserError(f"engine '{REFERENCE}' is in every benchmark; name others")
    if engine_of_file(text):
        return replace(case, checkpoint=text, config=replace(case.config, engine="auto", hysteresis=None))
    return replace(case, config=replace(case.config, engine=name, precision=precision or case.config.precision))
