"""A training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidseg_ros.data.config import AugmentationConfig, SourceConfig
from vidseg_ros.errors import UserError
from vidseg_ros.labels import find_label_set
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.schema import LARGEST, require_not_negative, require_one_of, require_positive, require_range

FIGURES = ("miou", "acc", "cons", "vc8", "vc16")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

TRAINABLE = ("encoder", "single", "cell", "all")
"""Phases of the F2F paper: the encoder behind a classifier of its own, the network without its cell, the cell alone,
and everything together."""


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of training: how many steps of which clips, and what learns."""

    steps: int
    clip_length: int  # frames; 1 trains on single frames
    batch: int  # clips, over all processes together
    learning_rate: float  # the highest; rises over the first twentieth of the steps, falls to zero along a cosine
    trainable: str = "all"
    freeze_norm: bool = False  # keep the batch norm statistics of the phase before
    burn_in: int = 0  # frames, there and back through the clip, that only fill the memory before every second step

    def __post_init__(self) -> None:
        require_one_of("phases.trainable", self.trainable, TRAINABLE)
        for key in ("steps", "clip_length", "batch", "learning_rate"):
            require_positive(**{f"phases.{key}": getattr(self, key)})
        if self.burn_in and (self.burn_in < 0 or self.clip_length == 1):
            raise UserError(f"phases.burn_in is {self.burn_in}; give a number of frames, with a clip_length above 1")

    @property
    def single_frame(self) -> bool:
        """Whether the network is built without its cell."""
        return self.trainable in ("encoder", "single")


@dataclass(frozen=True)
class TrainConfig:
    """A training run: ``vidseg train``."""

    network: NetworkConfig
    phases: tuple[PhaseConfig, ...]
    data: tuple[SourceConfig, ...]
    validation: str = ""  # a data set, judged through a stream; none: the last weights are the result
    validate_every: int = 250  # steps
    monitor: str = (
        "miou"  # the figure of validation whose highest value picks the weights of a phase; "" picks the last
    )
    labels: str = "camvid"  # label set
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    init_from_convolution: bool = True  # a cell begins as an average over time of the convolution that it replaces
    weight_decay: float = 2e-4
    ema_decay: float = 0.0  # decay per step of the running mean of the weights that is judged and kept; 0: none
    precision: str = "32-true"  # of Lightning: bf16-mixed, 16-mixed, ...
    save_minutes: float = 2.0  # between two states from which a killed run goes on
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_of("precision", self.precision, PRECISIONS)
        require_one_of("monitor", self.monitor, ("", *FIGURES))
        require_positive(save_minutes=self.save_minutes, validate_every=self.validate_every)
        require_not_negative(weight_decay=self.weight_decay)
        require_range(0, LARGEST, seed=self.seed)
        classes, labels = self.network.classes, find_label_set(self.labels)
        if classes != len(labels):
            raise UserError(
                f"network.classes is {classes}, and label set '{self.labels}' has {len(labels)}; give both the same"
            )
        if not 0.0 <= self.ema_decay < 1.0:
            raise UserError(
                f"ema_decay is {self.ema_decay}; give a decay per step from 0 (none) to below 1, such as 0.99"
            )
        for key in ("phases", "data"):
            if not getattr(self, key):
                raise UserError(f"{key} is empty; give at least one")
        if not sum(source.share for source in self.data):
            raise UserError("the shares of data sum to 0; give one source a share")
        if self.network.cell is None and any(phase.trainable == "cell" for phase in self.phases):
            raise UserError("a phase trains the cell, and the network has none; give network.cell")
        self._require_flow()

    def _require_flow(self) -> None:
        """Raise UserError where the loss needs the flow of clips that do not know it."""
        unknown = [source.source for source in self.data if source.share > 0 and not source.knows_flow]
        if self.loss.needs_flow and unknown and any(phase.clip_length > 1 for phase in self.phases):
            raise UserError(
                f"loss.lambda_temporal is {self.loss.lambda_temporal}, and nobody knows the exact flow of the video in "
                f"'{unknown[0]}'; set stills: true there, or lambda_temporal: 0"
            )
