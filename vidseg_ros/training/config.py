"""A training run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vidseg_ros.data.config import MEMORY_FLOWS, AugmentationConfig, SourceConfig
from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.flow.motion import MEDIUM
from vidseg_ros.labels import find_label_set
from vidseg_ros.losses.config import DISTILLED, LossConfig
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.schema import LARGEST, require_not_negative, require_one_of, require_positive, require_range
from vidseg_ros.teachers import TeacherConfig

FIGURES = ("miou", "acc", "cons", "vc8", "vc16")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "poly")

TRAINABLE = ("encoder", "single", "cell", "propagation", "all")
"""Phases of the F2F and GRFP papers: the encoder behind a classifier of its own, the network without its memories, the
cell alone, what remembers along the flow alone, and everything together."""

SUPERVISED = ("all", "last")


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of training: how many steps of which clips, and what learns."""

    steps: int
    clip_length: int  # frames; 1 trains on single frames
    batch: int  # clips, over all processes together
    learning_rate: float  # the highest; may be changed where a run goes on with --resume
    trainable: str = "all"
    freeze_norm: bool = False  # keep the batch norm statistics of the phase before
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam; GRFP takes 0.95 and 0.99
    supervise: str = "all"  # the frames of a clip whose labels count, or the last one alone, as in GRFP
    burn_in: int = 0  # frames, there and back through the clip, that only fill the memory before every second step

    def __post_init__(self) -> None:
        require_one_of("phases.trainable", self.trainable, TRAINABLE)
        require_one_of("phases.supervise", self.supervise, SUPERVISED)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"phases.betas are {self.betas}; give two numbers from 0 to below 1")
        for key in ("steps", "clip_length", "batch", "learning_rate"):
            require_positive(**{f"phases.{key}": getattr(self, key)})
        if self.burn_in and (self.burn_in < 0 or self.clip_length == 1):
            raise UserError(f"phases.burn_in is {self.burn_in}; give a number of frames, with a clip_length above 1")

    @property
    def single_frame(self) -> bool:
        """Whether the network is built without its memories."""
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
    teacher: TeacherConfig | None = None  # for the terms lambda_sf, lambda_pf and lambda_mf
    flow: FlowConfig = MEDIUM  # how that of video is estimated for lambda_temporal, by the processes that draw clips
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    memory_flow: str = "exact"  # along which memories are carried, where clips know it; estimated: as streams do
    init_from_convolution: bool = True  # a cell begins as an average over time of the convolution that it replaces
    optimizer: str = "adamw"  # or sgd, as the ETC paper
    momentum: float = 0.9  # of sgd
    schedule: str = "cosine"  # along which the learning rate falls to zero; poly: (1 - step / steps)^0.9, as that paper
    warm_up: float = 0.05  # share of the steps over which the learning rate rises; that paper takes 0
    head_factor: float = 1.0  # of the learning rate of all but the encoder, or of the head alone; that paper takes 10
    weight_decay: float = 2e-4
    ema_decay: float = 0.0  # decay per step of the running mean of the weights that is judged and kept; 0: none
    precision: str = "32-true"  # of Lightning: bf16-mixed, 16-mixed, ...
    save_minutes: float = 2.0  # between two states from which a killed run goes on
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_of("precision", self.precision, PRECISIONS)
        require_one_of("monitor", self.monitor, ("", *FIGURES))
        require_positive(save_minutes=self.save_minutes, validate_every=self.validate_every)
        require_positive(head_factor=self.head_factor)
        require_one_of("optimizer", self.optimizer, OPTIMIZERS)
        require_one_of("schedule", self.schedule, SCHEDULES)
        for key in ("momentum", "warm_up"):
            if not 0.0 <= getattr(self, key) < 1.0:
                raise UserError(f"{key} is {getattr(self, key)}; give a number from 0 to below 1")
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
        require_one_of("memory_flow", self.memory_flow, MEMORY_FLOWS)
        for part in ("cell", "propagation"):
            if getattr(self.network, part) is None and any(phase.trainable == part for phase in self.phases):
                raise UserError(f"a phase trains the {part}, and the network has none; give network.{part}")
        self._require_teacher()

    def _require_teacher(self) -> None:
        """Raise UserError where terms of the loss need a teacher that is not there, or a teacher has none to teach."""
        wanted = ", ".join(f"lambda_{name}" for name in DISTILLED if self.loss.lambdas[name])
        if wanted and self.teacher is None:
            raise UserError(f"loss has {wanted}, and there is no teacher; give teacher: {{names: [CHECKPOINT]}}")
        if self.teacher is not None and not wanted:
            keys = ", ".join(f"lambda_{name}" for name in DISTILLED)
            raise UserError(f"teacher is given, and no term of the loss asks it; set one of {keys} in loss")


def phase_network(network: NetworkConfig, phase: PhaseConfig) -> NetworkConfig:
    """Return what a phase builds: the network, or its single-frame form."""
    return replace(network, cell=None, propagation=None) if phase.single_frame else network
