"""Teachers: anything that gives a frame class probabilities, for pseudo labels and for distillation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vidseg_ros.checkpoints.checkpoint import MEMORIES, load_checkpoint
from vidseg_ros.errors import UserError, describe
from vidseg_ros.labels import LabelSet, find_label_set
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


HUGGING_FACE = "hf:"  # before the name of a model
IMPOSSIBLE = 1e-12  # a probability
SYNONYMS = {"traffic-light": "traffic light", "traffic-sign": "traffic sign", "motorbike": "motorcycle"}


class Teacher(Protocol):
    """Looks at the frames of a video, one after another."""

    labels: LabelSet

    def begin(self) -> None:
        """Begin a new video."""

    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Logarithms of the probability of each class at each pixel of a frame (H, W, 3): float32 (classes, H, W).

        On the teacher's device. Probabilities may sum up to less than 1: the rest goes to classes that the label set
        has not.
        """


class CheckpointTeacher:
    """A checkpoint of ours, averaged over scales and mirroring; each view is a stream with a memory of its own."""

    def __init__(self, name: str, config: PseudoConfig, device: str = "cpu") -> None:
        checkpoint = load_checkpoint(name)
        self.labels, self._device = checkpoint.labels, device
        self._network = checkpoint.network.requires_grad_(False).to(device)
        width, height = checkpoint.network.config.input.size
        mirrored = (False, True) if config.flip else (False,)
        sizes = [(round(scale * height), round(scale * width)) for scale in config.scales]
        self._views = [(size, mirror) for size in sizes for mirror in mirrored]
        self._states: list[Any] = []
        self.begin()

    def begin(self) -> None:
        """Forget the past."""
        self._states = [None] * len(self._views)

    @torch.inference_mode()
    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Average the views."""
        frame = torch.tensor(rgb, device=self._device).permute(2, 0, 1)[None].float()
        total = torch.zeros(len(self.labels), *rgb.shape[:2], device=self._device)
        for number, (size, mirror) in enumerate(self._views):
            view = F.interpolate(frame, size, mode="bilinear", align_corners=False).round().to(torch.uint8)
            logits, self._states[number] = self._network(_mirrored(view, mirror), self._states[number])
            total += _at_size(_mirrored(logits, mirror), rgb)
        return log_probabilities(total / len(self._views))


class HuggingFaceTeacher:
    """A semantic segmentation model of Hugging Face, by its name or folder; classes are matched by name."""

    def __init__(
        self, name: str, labels: LabelSet, config: PseudoConfig, say: Callable[[str], None], device: str = "cpu"
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
        self.labels, self._config, self._device = labels, config, device
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

    @torch.inference_mode()
    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Average the frame and, where wanted, its mirror image; the model brings its own size."""
        views = (False, True) if self._config.flip else (False,)
        total = torch.zeros(len(self.labels), *rgb.shape[:2], device=self._device)
        for mirror in views:
            image = np.ascontiguousarray(rgb[:, ::-1] if mirror else rgb)
            inputs = self._processor(images=image, return_tensors="pt")
            logits = self._model(**{name: tensor.to(self._device) for name, tensor in inputs.items()}).logits
            probabilities = _at_size(_mirrored(logits, mirror), rgb)
            for theirs, ours in self._columns.items():
                total[ours] += probabilities[theirs]
        return log_probabilities(total / len(views))


def open_teacher(
    name: str,
    label_set: str,
    config: PseudoConfig,
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


def _at_size(logits: Tensor, rgb: NDArray[np.uint8]) -> Tensor:
    """Return probabilities (classes, H, W) at the size of the frame, of logits (1, classes, h, w)."""
    return F.interpolate(logits.float(), rgb.shape[:2], mode="bilinear", align_corners=False).softmax(1)[0]
