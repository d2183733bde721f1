"""Models of Hugging Face as teachers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.errors import UserError, describe
from vidseg_ros.labels import LabelSet
from vidseg_ros.teachers.base import Prediction, log_probabilities, mirrored, resized
from vidseg_ros.teachers.config import PseudoConfig, TeacherConfig

SYNONYMS = {"traffic-light": "traffic light", "traffic-sign": "traffic sign", "motorbike": "motorcycle"}


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
            probabilities = resized(mirrored(logits.float(), mirror), rgb.shape[:2]).softmax(1)[0]
            for theirs, ours in self._columns.items():
                total[ours] += probabilities[theirs]
        return total / len(views)
