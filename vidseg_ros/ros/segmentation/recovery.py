"""What a node does about an engine that keeps failing: a GPU that is out of memory, or gone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from vidseg_ros.engines import Engine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.registry import EXACT
from vidseg_ros.errors import describe
from vidseg_ros.ros.parameters import Parameters
from vidseg_ros.ros.segmentation.warm_up import WarmUp

FAILURES = 3  # steps, one after another, that may fail


class Recovery:
    """Counts the steps that fail, and opens the engine of so many ``cameras`` anew when there are too many."""

    def __init__(self, parameters: Parameters, cameras: int, say: Callable[[str], None]) -> None:
        self._parameters, self._cameras, self._say = parameters, cameras, say
        self._failed = 0

    def warmed(self, engine: Engine) -> WarmUp:
        """Take the first steps of an engine."""
        size = self._parameters.stream.size or engine.input_size
        return WarmUp(engine, size, self._cameras, self._say)

    def succeeded(self) -> None:
        """Note a step that gave labels."""
        self._failed = 0

    def failed(self, warm_up: WarmUp, error: Exception) -> WarmUp:
        """Note a step that failed; returns what was given, or after FAILURES of them that of an engine opened anew."""
        self._failed += 1
        if self._failed < FAILURES:
            return warm_up
        self._failed = 0
        warm_up.stop()
        _give_back(warm_up.engine)  # what it holds may be what lacks
        own = self._parameters.engine_config
        for config in (own, replace(own, engine="auto", device="cpu", precision=EXACT)):
            self._say(
                f"{FAILURES} steps failed ({describe(error)}); opening the engine anew on device '{config.device}'"
            )
            try:
                return self._opened(config)
            except Exception as problem:  # of a GPU that is lost, anything
                error = problem
        return warm_up  # its steps go on failing; an engine opens its sessions again

    def _opened(self, config: EngineConfig) -> WarmUp:
        """An engine that has taken steps."""
        engine = open_model(self._parameters.model, config, self._say)
        try:
            return self.warmed(engine)
        except Exception:
            _give_back(engine)
            raise


def _give_back(engine: Engine) -> None:
    """Close an engine that failed: where its GPU is lost, that may fail, too."""
    with suppress(Exception):
        engine.close()
