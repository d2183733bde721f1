"""The side-by-side video of the demo: what was sent, and the colours that came back."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from vidseg_ros.io.image_messages import BadFrame, compressed_to_rgb, find_decoder, image_to_rgb
from vidseg_ros.io.pictures import Film
from vidseg_ros.ros.harness.player import REMEMBERED


class DemoFilm(Film):
    """A film of pairs whose halves come at different times."""

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._decoder = find_decoder()
        self._inputs: OrderedDict[int, Any] = OrderedDict()

    def expect(self, stamp: int, message: Image | CompressedImage) -> None:
        """Remember an input until its colours come."""
        self._inputs[stamp] = message
        if len(self._inputs) > REMEMBERED:
            self._inputs.popitem(last=False)

    def show(self, stamp: int, color: Image) -> None:
        """Append input and colours of one frame."""
        if stamp not in self._inputs:
            return
        try:
            rgb = self._decode(self._inputs.pop(stamp))
        except BadFrame:
            return
        self.append(np.hstack([rgb, image_to_rgb(color, self._decoder)]))

    def _decode(self, message: Image | CompressedImage) -> NDArray[np.uint8]:
        if isinstance(message, CompressedImage):
            return compressed_to_rgb(message)
        return image_to_rgb(message, self._decoder)
