"""Label images: PNG files whose pixels are ids or colours. Whatever would change an id on the way is refused."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.io.images import decode, is_truncated, read_file
from vidseg_ros.labels import IGNORE, OUTSIDE

PNG = b"\x89PNG\r\n\x1a\n"
SIZE, DEPTH, KIND = 16, 24, 25  # where a PNG file says its size, how many bits a sample has, and what samples are
PALETTE, GREYS = 3, (0, 4)  # kinds: ids with a colour each; grey, without and with transparency
REMEDY = "make it an 8-bit PNG of ids or colours"


@dataclass(frozen=True, eq=False)
class LabelImage:
    """Ids, uint8 (H, W), or RGB colours, uint8 (H, W, 3); a PNG with a palette has both."""

    ids: NDArray[np.uint8] | None = None
    colors: NDArray[np.uint8] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        pixels = self.colors if self.ids is None else self.ids
        assert pixels is not None
        return pixels.shape[0], pixels.shape[1]


def decode_label_png(data: bytes, where: str) -> LabelImage:
    """Decode a PNG file, which errors call ``where``. Raises UserError where it is damaged or not of 8 bits.

    JPEG changes ids to their neighbours; decoders stretch the ids of 1, 2, 4 and 16 bits to the range of pictures.
    """
    if data and not data.startswith(PNG):
        raise UserError(f"cannot read label image '{where}': it is no PNG, and JPEG changes ids; {REMEDY}")
    if len(data) <= KIND or is_truncated(data):
        raise UserError(f"cannot read label image '{where}'; it is missing or damaged")
    if data[KIND] != PALETTE and data[DEPTH] != 8:
        width, height = struct.unpack_from(">II", data, SIZE)
        raise UserError(f"label image '{where}' is uint{data[DEPTH]} of shape ({height}, {width}); {REMEDY}")
    pixels = decode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint8:
        raise UserError(f"cannot read label image '{where}'; it is missing or damaged")
    if data[KIND] in GREYS:
        return LabelImage(ids=np.asarray(pixels if pixels.ndim == 2 else pixels[..., 0], np.uint8))
    ids = _indices(data, where) if data[KIND] == PALETTE else None
    return LabelImage(ids, np.ascontiguousarray(pixels[..., 2::-1], np.uint8))  # BGR, BGRA


def _indices(data: bytes, where: str) -> NDArray[np.uint8]:
    """What a PNG with a palette holds, uint8 (H, W): OpenCV gives its colours only."""
    decoder = av.CodecContext.create("png", "r")
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
        return np.asarray(frames[0].to_ndarray()[0], np.uint8)
    except (av.FFmpegError, IndexError) as error:
        raise UserError(f"cannot read label image '{where}'; it is missing or damaged") from error


def coding(known: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return a lookup table, uint8 (256,), from the values of label files to ids; IGNORE stays, others are OUTSIDE."""
    table = np.full(256, OUTSIDE, np.uint8)
    table[IGNORE] = IGNORE
    for value, number in known.items():
        table[value] = number
    return table


def read_label_image(path: Path) -> LabelImage:
    """Read a file. Raises UserError where it is missing, damaged or not of 8 bits."""
    return decode_label_png(read_file(path), str(path))


def read_labels(path: Path, coded: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read the ids of a label image of the (height, width) ``size``, uint8 (H, W), through the table of ``coding``.

    Raises UserError where it is missing, of another size, or holds a value that the table does not know.
    """
    image = read_label_image(path)
    values = image.ids
    if values is None or image.size != size:
        shape = (*image.size, *(() if image.ids is not None else (3,)))
        raise UserError(
            f"label image '{path}' is uint8 of shape {shape}, its frame {size}; make it 8-bit, one "
            "channel and as large as its frame"
        )
    labels: NDArray[np.uint8] = np.take(coded, values)
    if (labels == OUTSIDE).any():
        known = ", ".join(map(str, np.flatnonzero(coded != OUTSIDE)))
        raise UserError(f"label image '{path}' holds id {values[labels == OUTSIDE][0]}; its label set has {known}")
    return labels
