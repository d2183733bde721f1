"""Teachers: anything that gives a frame class probabilities, for pseudo labels and for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vidseg_ros.checkpoints.checkpoint import MEMORIES, load_checkpoint
from vidseg_ros.errors import UserError, describe
from vidseg_ros.labels import LabelSet, find_label_set
from vidseg_ros.networks import State
from vidseg_ros.schema import require_one_of, require_positive


@dataclass(frozen=True)
class PseudoConfig:
    """Which labels of a teacher are kept: ``vidseg pseudo-label``."""

    confidence: float = 0.9  # probability of the label, averaged over the views
    scales: tuple[float, ...] = (0.75, 1.0, 1.25)  # of the teacher's input size
    flip: bool = True  # look at the mirrored frame, too
    agreement: bool = True  # the label must be that of the frames before and after, along the flow
    memory: str = "auto"  # of a checkpoint: as it says, or one of MEMORIES
    bidirectional: bool = False  # a checkpoint on the way forward and on the way back, the mean of both

    def __post_init__(self) -> None:
        if not 0 <= self.confidence < 1:
            raise UserError(f"confidence is {self.confidence}; use 0 to below 1")
        require_one_of("memory", self.memory, ("auto", *MEMORIES))
        if not self.scales:
            raise UserError("scales is empty; give at least one")
        require_positive(scales=min(self.scales))


@dataclass(frozen=True)
class TeacherConfig:
    """Teachers of ``vidseg train``; their probabilities are averaged."""

    names: tuple[str, ...]  # checkpoints, or hf:NAME; one that is named twice counts twice
    scales: tuple[float, ...] = (1.0,)  # of the size of the clips; a model of Hugging Face brings its own size
    flip: bool = False  # look at mirrored frames, too

    def __post_init__(self) -> None:
        for key in ("names", "scales"):
            if not getattr(self, key):
                raise UserError(f"teacher.{key} is empty; give at least one, or leave teacher out")
        require_positive(**{"teacher.scales": min(self.scales)})


HUGGING_FACE = "hf:"  # before the name of a model
IMPOSSIBLE = 1e-12  # a probability
SYNONYMS = {"traffic-light": "traffic light", "traffic-sign": "traffic sign", "motorbike": "motorcycle"}


class Prediction(NamedTuple):
    """What a teacher says of frames, each by itself: class probabilities (N, classes, H, W), and what it saw.

    features: (N, F, h, w), what its head sees of them; the probabilities where that is not known.
    """

    probabilities: Tensor
    features: Tensor


class Labeler(Protocol):
    """Looks at the frames of a video, one after another."""

    labels: LabelSet

    def begin(self) -> None:
        """Begin a new video."""

    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Logarithms of the probability of each class at each pixel of a frame (H, W, 3): float32 (classes, H, W).

        On the teacher's device. Probabilities may sum up to less than 1: the rest goes to classes that the label set
        has not.
        """


class Teacher(Labeler, Protocol):
    """Looks at many frames, too, each by itself."""

    def predict(self, frames: Tensor) -> Prediction:
        """Predictions of RGB frames uint8 (N, 3, H, W) on the teacher's device, each with a fresh memory.

        Without gradient, at the size of the frames; scales are multiples of that size.
        """

    def to(self, device: torch.device) -> None:
        """Move to a device."""

    def compile(self) -> None:
        """Use torch.compile."""


class CheckpointTeacher:
    """A checkpoint of ours, averaged over scales and mirroring; each view is a stream with a memory of its own."""

    def __init__(self, name: str, config: PseudoConfig | TeacherConfig, device: str = "cpu") -> None:
        checkpoint = load_checkpoint(name)
        self.labels, self._device = checkpoint.labels, torch.device(device)
        self._network = checkpoint.network.requires_grad_(False).to(device)
        self._size = checkpoint.network.config.input.size
        mirrored = (False, True) if config.flip else (False,)
        self._views = [(scale, mirror) for scale in config.scales for mirror in mirrored]
        self._states: list[State | None] = []
        self._seen = torch.empty(0)  # what the head saw last
        hook = torch.compiler.disable(self._remember)  # type: ignore[no-untyped-call]
        self._network.head.register_forward_pre_hook(hook)
        self.begin()

    def to(self, device: torch.device) -> None:
        """Move the network; depthwise convolutions are fast there with channels last."""
        self._device = device
        self._network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compile(self) -> None:
        """Compile the network."""
        self._network.compile()

    def begin(self) -> None:
        """Forget the past."""
        self._states = [None] * len(self._views)

    def _remember(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (self._seen,) = inputs

    @torch.no_grad()
    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Average the views."""
        frame = torch.tensor(rgb, device=self._device).permute(2, 0, 1)[None]
        width, height = self._size
        seen, self._states, _ = self._average(frame, (height, width), self._states)
        return log_probabilities(seen[0])

    @torch.no_grad()
    def predict(self, frames: Tensor) -> Prediction:
        """Average the views; the features are those of the first one."""
        fresh: list[State | None] = [None] * len(self._views)
        probabilities, _, features = self._average(frames, frames.shape[-2:], fresh)
        return Prediction(probabilities, features)

    def _average(
        self, frames: Tensor, base: Sequence[int], states: Sequence[State | None]
    ) -> tuple[Tensor, list[State | None], Tensor]:
        """The mean probabilities of views whose scales are multiples of the (height, width) ``base``.

        Returns them, the states of the views behind the frames, and what the head sees of the first view.
        """
        size = frames.shape[-2:]
        total = torch.zeros(len(frames), len(self.labels), *size, device=frames.device)
        after: list[State | None] = []
        features = None
        for (scale, mirror), state in zip(self._views, states, strict=True):
            view = _resized(frames.float(), [round(scale * side) for side in base]).round().to(torch.uint8)
            logits, state = self._network(_mirrored(view, mirror), state)  # noqa: PLW2901
            total += _resized(_mirrored(logits.float(), mirror), size).softmax(1)
            after.append(state)
            features = self._seen.float() if features is None else features
        assert features is not None, "there is a view at least"
        return total / len(self._views), after, features


class HuggingFaceTeacher:
    """A semantic segmentation model of Hugging Face, by its name or folder; classes are matched by name."""

    def __init__(
        self,
        name: str,
        labels: LabelSet,
        config: PseudoConfig | TeacherConfig,
        say: Callable[[str], None],
        device: str = "cpu",
    ) -> None:
        if find_spec("transformers") is None:
            raise UserError(f"teacher '{name}' needs transformers; pip install 'vidseg_ros[teacher]'")
        from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation  # noqa: PLC0415 - optional

        try:
            self._processor = AutoImageProcessor.from_pretrained(name)
            self._model = AutoModelForSemanticSegmentation.from_pretrained(name).eval()
        except Exception as error:  # no such model, no network, damaged files: each its own kind
            raise UserError(
                f"cannot load teacher '{name}' ({describe(error)}); name a model of Hugging Face"
            ) from error
        self.labels, self._config, self._device = labels, config, torch.device(device)
        self._model = self._model.to(device)
        names = {number: text.lower() for number, text in self._model.config.id2label.items()}
        names = {int(number): SYNONYMS.get(text, text) for number, text in names.items()}
        self._columns = {number: labels.id_of(text) for number, text in names.items() if text in labels.names}
        if not self._columns:
            here = ", ".join(names.values())
            raise UserError(f"teacher '{name}' knows no class of label set '{labels.name}' (it has {here})")
        missing = [text for number, text in enumerate(labels.names) if number not in self._columns.values()]
        if missing:
            say(f"teacher '{name}' gives no labels to these classes of '{labels.name}': {', '.join(missing)}")

    def begin(self) -> None:
        """Nothing is remembered."""

    def to(self, device: torch.device) -> None:
        """Move the model."""
        self._device, self._model = device, self._model.to(device)

    def compile(self) -> None:
        """Compile the model."""
        self._model.compile()

    @torch.no_grad()
    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Average the frame and, where wanted, its mirror image; the model brings its own size."""
        return log_probabilities(self._probabilities(rgb))

    @torch.no_grad()
    def predict(self, frames: Tensor) -> Prediction:
        """Average as ``logits`` does; scales are not looked at, and what the model sees stays unknown."""
        pictures = frames.permute(0, 2, 3, 1).cpu().numpy()
        probabilities = torch.stack([self._probabilities(rgb) for rgb in pictures])
        return Prediction(probabilities, probabilities)

    def _probabilities(self, rgb: NDArray[np.uint8]) -> Tensor:
        views = (False, True) if self._config.flip else (False,)
        total = torch.zeros(len(self.labels), *rgb.shape[:2], device=self._device)
        for mirror in views:
            image = np.ascontiguousarray(rgb[:, ::-1] if mirror else rgb)
            inputs = self._processor(images=image, return_tensors="pt")
            logits = self._model(**{name: tensor.to(self._device) for name, tensor in inputs.items()}).logits
            probabilities = _resized(_mirrored(logits.float(), mirror), rgb.shape[:2]).softmax(1)[0]
            for theirs, ours in self._columns.items():
                total[ours] += probabilities[theirs]
        return total / len(views)


def open_teacher(
    name: str,
    label_set: str,
    config: PseudoConfig | TeacherConfig,
    say: Callable[[str], None] = lambda line: None,
    device: str = "cpu",
) -> Teacher:
    """Return the teacher ``name``: a checkpoint of ours, or a model of Hugging Face for ``label_set``.

    That is ``hf:`` and its name, or the folder it was saved to. ``say`` hears in one line which classes it does not
    know. Raises UserError for a teacher that cannot be loaded or knows none of them.
    """
    if name.startswith(HUGGING_FACE) or Path(name).is_dir():
        return HuggingFaceTeacher(name.removeprefix(HUGGING_FACE), find_label_set(label_set), config, say, device)
    return CheckpointTeacher(name, config, device)


def log_probabilities(probabilities: Tensor) -> Tensor:
    """Finite logarithms, also of what is impossible."""
    return probabilities.clamp(min=IMPOSSIBLE).log()


def _mirrored(images: Tensor, mirror: bool) -> Tensor:
    return images.flip(-1) if mirror else images


def _resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images (N, C, h, w) at (height, width) ``size``, bilinearly."""
    return F.interpolate(images, tuple(size), mode="bilinear", align_corners=False)
