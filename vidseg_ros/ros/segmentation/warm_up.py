"""The first, slow steps of an engine, taken before a frame needs them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import numpy as np

from vidseg_ros.engines import Engine
from vidseg_ros.errors import describe

PATIENCE = 2.0  # seconds: most engines are ready by then, and a first frame gets its confidence, too


class WarmUp:
    """Takes a step of each batch that ``cameras`` can make, at the network's ``size`` (width, height).

    Those without confidence are taken before this returns. Those with it come on a thread of their own, so that where
    they take long, the engine answers without meanwhile: nobody may ever ask for them.
    """

    def __init__(self, engine: Engine, size: tuple[int, int], cameras: int, warn: Callable[[str], None]) -> None:
        self.engine = engine
        self._size, self._warn = size, warn
        self._batches = range(1, cameras + 1)
        self._ready: set[int] = set()
        self._stopped = False
        for batch in self._batches:
            self._step(batch, confidence=False)
        self._thread = Thread(target=self._warm_confidence, name="warm_up")
        self._thread.start()
        self._thread.join(None if _records_kernels(engine) else PATIENCE)

    def has_confidence(self, batch: int) -> bool:
        """Tell whether a step of ``batch`` frames with confidence takes no longer than the next one."""
        return batch in self._ready

    def stop(self) -> None:
        """Take no further step; returns when the last is over."""
        self._stopped = True
        self._thread.join()

    def _warm_confidence(self) -> None:
        for batch in self._batches:
            if self._stopped:
                return
            try:
                self._step(batch, confidence=True)
            except Exception as error:  # out of memory, a file without confidence, ...
                self._warn(f"no confidence of {batch} frames at once: {describe(error)}")
            else:
                self._ready.add(batch)

    def _step(self, batch: int, confidence: bool) -> None:
        width, height = self._size
        flow = np.zeros((batch, 2, height, width), np.float32) if self.engine.flow else None
        self.engine.step(np.zeros((batch, height, width, 3), np.uint8), [None] * batch, confidence, flow)


def _records_kernels(engine: Engine) -> bool:
    """Tell whether a GPU runs the engine: no other thread may use it while CUDA graphs are recorded, which is quick."""
    return getattr(getattr(engine, "device", None), "type", "cpu") != "cpu"
