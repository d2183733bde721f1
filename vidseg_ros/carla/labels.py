"""Semantic images of CARLA, from either of its ROS interfaces, as label images.

The ROS bridge sends *colours* of the Cityscapes palette, the native interface (``--ros2``) the raw image with the *tag*
in its red byte; both as ``bgra8``. What the numbers mean changed with CARLA 0.9.14. A tag or colour that a table does
not know, and a tag whose class a label set does not have, become IGNORE: nothing is ever guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.labels import CITYSCAPES, IGNORE, LabelSet, translation

Ids = NDArray[np.uint8]

COLORS = "colors"
TAGS = "tags"
RED = 2  # byte of a bgra8 pixel

_CITYSCAPES_COLORS = dict(zip(CITYSCAPES.names, CITYSCAPES.colors, strict=True))
_OTHER_COLORS = {
    "unlabeled": (0, 0, 0), "static": (110, 190, 160), "dynamic": (170, 120, 50), "other": (55, 90, 80),
    "water": (45, 60, 150), "road line": (157, 234, 50), "ground": (81, 0, 81), "bridge": (150, 100, 100),
    "rail track": (230, 150, 140), "guard rail": (180, 165, 180),
}  # fmt: skip
COLOR_OF = _CITYSCAPES_COLORS | _OTHER_COLORS | {"vehicle": _CITYSCAPES_COLORS["car"]}
"""RGB colour of every name below in CARLA's CityScapesPalette."""

_SAME_AS = {"road line": "road", "vehicle": "car"}
"""Names of CARLA that are another class of Cityscapes; the rest is one by its own name, or unlabelled."""


@dataclass(frozen=True)
class Tags:
    """The numbering of semantic tags of some CARLA versions: tag ``i`` is ``names[i]``."""

    versions: str
    names: tuple[str, ...]

    @property
    def colors(self) -> dict[tuple[int, int, int], str]:
        """RGB colours of the palette and what they stand for."""
        return {COLOR_OF[name]: name for name in self.names}


TAGS_0_9_14 = Tags(
    "0.9.14 and later",
    ("unlabeled", *CITYSCAPES.names, "static", "dynamic", "other", "water", "road line", "ground", "bridge",
     "rail track", "guard rail"),
)  # fmt: skip
TAGS_0_9_10 = Tags(
    "0.9.10 to 0.9.13",
    (
        "unlabeled", "building", "fence", "other", "person", "pole", "road line", "road", "sidewalk", "vegetation",
        "vehicle", "wall", "traffic sign", "sky", "ground", "bridge", "rail track", "guard rail", "traffic light",
        "static", "dynamic", "water", "terrain",
    ),
)  # fmt: skip


def find_tags(version: str) -> Tags:
    """Numbering of a CARLA version, such as ``0.9.16``. Raises UserError where there is none."""
    try:
        number = tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".")[:3])
    except ValueError:
        number = ()
    if (0, 9, 14) <= number < (2,):  # 0.10 counts like 0.9.16
        return TAGS_0_9_14
    if (0, 9, 10) <= number < (0, 9, 14):
        return TAGS_0_9_10
    raise UserError(f"CARLA version '{version}' has no known semantic tags; use 0.9.10 or later")


@lru_cache
def tag_table(tags: Tags, labels: LabelSet) -> Ids:
    """Id in ``labels`` of every value of the tag byte, uint8 (256,), IGNORE where there is none."""
    table = np.full(256, IGNORE, np.uint8)
    known = translation(CITYSCAPES, labels)
    for tag, name in enumerate(tags.names):
        same = _SAME_AS.get(name, name)
        if same in CITYSCAPES.names:
            table[tag] = known[CITYSCAPES.id_of(same)]
    table.setflags(write=False)
    return table


def decode_tags(raw: Ids, tags: Tags, labels: LabelSet) -> Ids:
    """Ids of ``labels``, uint8 (H, W), of the native interface's image, BGRA uint8 (H, W, 4)."""
    return np.take(tag_table(tags, labels), raw[..., RED])


def decode_colors(bgra: Ids, tags: Tags, labels: LabelSet) -> Ids:
    """Ids of ``labels``, uint8 (H, W), of the bridge's image, BGRA uint8 (H, W, 4); alpha does not matter."""
    colors, ids = _color_table(tags, labels)
    packed = _pack(bgra)
    place = np.minimum(np.searchsorted(colors, packed), len(colors) - 1)
    return np.where(colors[place] == packed, ids[place], np.uint8(IGNORE))


@lru_cache
def _color_table(tags: Tags, labels: LabelSet) -> tuple[NDArray[np.uint32], Ids]:
    """Colours as rising numbers 0xRRGGBB, and the id of each."""
    of_tag = tag_table(tags, labels)
    pairs = sorted({_number(COLOR_OF[name]): of_tag[tag] for tag, name in enumerate(tags.names)}.items())
    numbers, ids = zip(*pairs, strict=True)
    return np.asarray(numbers, np.uint32), np.asarray(ids, np.uint8)


def _number(color: tuple[int, int, int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _pack(bgra: Ids) -> NDArray[np.uint32]:
    return np.ascontiguousarray(bgra).view("<u4")[..., 0].astype(np.uint32) & np.uint32(0xFFFFFF)


DECODERS = {COLORS: decode_colors, TAGS: decode_tags}
"""How each encoding of semantic images is read."""

INTERFACES = {"bridge": COLORS, "native": TAGS}
"""What each ROS interface of CARLA sends."""


def tag_of(ids: Ids, labels: LabelSet, tags: Tags = TAGS_0_9_14) -> Ids:
    """A tag for each id of ``labels``, uint8 of the same shape: the first that decodes to it, 0 for IGNORE."""
    table = tag_table(tags, labels)
    back = np.zeros(256, np.uint8)
    for tag in reversed(range(len(tags.names))):
        if table[tag] != IGNORE:
            back[table[tag]] = tag
    return np.take(back, ids)


def encode(ids: Ids, labels: LabelSet, encoding: str, tags: Tags = TAGS_0_9_14) -> Ids:
    """Draw ids of ``labels``, uint8 (H, W), as CARLA would send them: BGRA uint8 (H, W, 4) in COLORS or TAGS."""
    tag = tag_of(ids, labels, tags)
    image = np.zeros((*ids.shape, 4), np.uint8)
    image[..., 3] = 255
    if encoding == TAGS:
        image[..., RED] = tag
    else:
        palette = np.asarray([COLOR_OF[name][::-1] for name in tags.names], np.uint8)
        image[..., :3] = palette[tag]
    return image
