"""What a node does about an engine that keeps failing: a GPU that is out of memory, or gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vidseg_ros.engines import Engine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.registry import EXACT
from vidseg_ros.errors import describe
from vidseg_ros.ros.parameters import Parameters

FAILURES = 3  # steps, one after another, that may fail


class Recovery:
    """Counts the steps that fail, and opens the engine anew when there are too many."""

    def __init__(self, parameters: Parameters, say: Callable[[str], None]) -> None:
        self._parameters, self._say = parameters, say
        self._failed = 0

    def succeeded(self) -> None:
        """Note a step that gave labels."""
        self._failed = 0

    def failed(self, engine: Engine, error: Exception) -> Engine:
        """Note a step that failed; returns the engine, or after FAILURES of them one that was opened anew."""
        self._failed += 1
        if self._failed < FAILURES:
            return engine
        self._failed = 0
        engine.close()  # what it holds may be what lacks
        own = self._parameters.engine_config
        for config in (own, replace(own, engine="auto", device="cpu", precision=EXACT)):
            self._say(
                f"{FAILURES} steps failed ({describe(error)}); opening the engine anew on device '{config.device}'"
            )
            try:
                return self._tried(config)
            except Exception as problem:  # of a GPU that is lost, anything
                error = problem
        return engine  # its steps go on failing; an engine opens its sessions again

    def _tried(self, config: EngineConfig) -> Engine:
        """An engine that has taken a step."""
        engine = open_model(self._parameters.model, config, self._say)
        width, height = self._parameters.stream.size or engine.input_size
        flow = np.zeros((1, 2, height, width), np.float32) if engine.flow else None
        engine.step(np.zeros((1, height, width, 3), np.uint8), [None], False, flow)
        return engine
