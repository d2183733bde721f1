"""Temporally consistent semantic segmentation for ROS 2.

>>> import vidseg_ros  # doctest: +SKIP
>>> stream = vidseg_ros.open_stream()  # doctest: +SKIP
>>> labels = stream.step(rgb, stamp)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidseg_ros.stream import FrameStream

__version__ = "0.1.0"

# Threads of OpenMP that wait for each other spin, by default (300,000 turns) for so long that beside another busy
# process PyTorch takes ten times as long. Less costs little where the machine is quiet (docs/results.md).
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

LARGEST_PICTURE = 2**26
"""Pixels of a picture file that is decoded: more than any camera has; what claims to be larger takes no memory."""

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(LARGEST_PICTURE))  # read when OpenCV is imported


def open_stream(model: str = "", **engine: Any) -> FrameStream:
    """A stream of labels that remembers: ``labels = stream.step(rgb, stamp)``.

    model: a checkpoint, the name of shipped weights or a file of ``vidseg export``; "" for the default weights. The
    other arguments are the fields of ``EngineConfig``: engine, device, threads, precision, hysteresis, memory, warped
    and flow. A step takes RGB uint8 (H, W, 3) and its stamp in nanoseconds, and gives ids uint8 (H, W) at that size, of
    ``stream.engine.labels``. Raises UserError for a model, an engine or a setting that is not there.
    """
    # imported here: `import vidseg_ros` is quick, and sets how threads wait before PyTorch starts them
    from vidseg_ros.engines import open_model  # noqa: PLC0415
    from vidseg_ros.engines.config import EngineConfig  # noqa: PLC0415
    from vidseg_ros.schema import from_dict  # noqa: PLC0415
    from vidseg_ros.stream import FrameStream  # noqa: PLC0415

    return FrameStream(open_model(model, from_dict(EngineConfig, engine)))
