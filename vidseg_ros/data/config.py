"""Where clips come from, and how a camera moves over stills."""

from __future__ import annotations

from dataclasses import dataclass, fields

from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import DEFAULT_FPS
from vidseg_ros.labels import CAMVID, find_label_set
from vidseg_ros.schema import require_not_negative, require_positive

MEMORY_FLOWS = {"exact": "that of the clip, where it knows it", "estimated": "as a stream estimates it"}
STREET = "street"  # the street world, among the names of data sets


@dataclass(frozen=True)
class AugmentationConfig:
    """The random camera over a still (data/stills.py). Speeds and spreads are standard deviations."""

    zoom_range: tuple[float, float] = (0.75, 2.0)  # of the first frame; 1 shows the still at its own scale
    zoom_speed: float = 0.03  # per frame; also the mean: a camera in a car drives forward more often than not
    shift_speed: float = 0.004  # of the image width, per frame
    roll_speed: float = 0.003  # radians per frame
    tilt: float = 0.05  # perspective: change of scale from the centre of the frame to its edge
    jitter: float = 0.3  # of each frame's speed, relative
    exposure: float = 0.25  # of the clip's gain, logarithmic
    flicker: float = 0.06  # of each frame's gain, logarithmic
    noise: float = 6.0  # grey levels; the largest that a clip draws
    blur: float = 0.15  # share of the clips that are blurred
    shadows: float = 0.3  # share of the clips with a shadow that moves
    occluders: float = 0.3  # share of the clips in which something from another still passes
    disturbed: float = 0.0  # share of the frames that are noisy, wrongly exposed, blurred or covered (disturbances.py)

    def __post_init__(self) -> None:
        require_positive(**{"augmentation.zoom_range": max(self.zoom_range)})
        if not 0 < self.zoom_range[0] <= self.zoom_range[1]:
            raise UserError(f"augmentation.zoom_range is {self.zoom_range}; give two rising numbers above 0")
        for item in fields(self)[1:]:
            require_not_negative(**{f"augmentation.{item.name}": getattr(self, item.name)})


@dataclass(frozen=True)
class SourceConfig:
    """Where clips come from (data/mixture.py), and how often."""

    source: str  # "street" for the street world, or a data set: a folder, or one below $VIDSEG_DATA
    share: float = 1.0  # of the clips, relative to the shares of the other sources
    stills: bool = True  # make clips from single frames; False takes frames of one sequence, in their order
    labels: str = CAMVID.name  # label set of the ids in the files of a data set that does not say it itself
    unlabelled: bool = False  # take frames without labels, too: video, for terms that need no truth
    fps: float = DEFAULT_FPS  # of a folder of images without labels
    frame_range: int = 0  # frames before and behind a middle one from which the others are drawn; 0: its neighbours
    estimate_flow: bool = True  # of frames of a sequence, where a term asks for it; False: they are too far apart

    def __post_init__(self) -> None:
        require_not_negative(**{"data.share": self.share})
        if self.frame_range < 0:
            raise UserError(f"data.frame_range is {self.frame_range}; give a number of frames, 0 for consecutive ones")
        find_label_set(self.labels)
        require_positive(**{"data.fps": self.fps})
