"""The teachers of a training run: frozen, and of one opinion in the classes of the student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from vidseg_ros.labels import CITYSCAPES, LabelSet, translation
from vidseg_ros.losses import Output
from vidseg_ros.teachers import IMPOSSIBLE, TeacherConfig, log_probabilities, open_teacher


class Ensemble:
    """The mean of teachers; probabilities of classes that the student does not tell apart are added up.

    A teacher with a memory looks at each frame by itself. This is no module, so that no state of training holds it.
    """

    def __init__(self, config: TeacherConfig, labels: LabelSet, say: Callable[[str], None]) -> None:
        counts = Counter(config.names)
        self._shares = list(counts.values())
        self._members = [open_teacher(name, CITYSCAPES.name, config, say) for name in counts]
        tables = [translation(member.labels, labels)[: len(member.labels)] for member in self._members]
        self._tables = [torch.from_numpy(table).long() for table in tables]
        self._classes = len(labels)

    def to(self, device: torch.device) -> None:
        """Move all to a device."""
        self._tables = [table.to(device) for table in self._tables]
        for member in self._members:
            member.to(device)

    def compile(self) -> None:
        """Use torch.compile."""
        for member in self._members:
            member.compile()

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> Output:
        """What they say of RGB frames uint8 (T, N, 3, H, W), N at a time: logarithms of probabilities.

        The features are those of the first teacher.
        """
        said = [self._predict(batch) for batch in frames]
        logits, features = (torch.stack(part) for part in zip(*said, strict=True))
        return Output(logits, features=features)

    def _predict(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        predictions = [member.predict(frames) for member in self._members]
        total = predictions[0].probabilities.new_zeros((len(frames), self._classes, *frames.shape[-2:]))
        for share, table, prediction in zip(self._shares, self._tables, predictions, strict=True):
            total.index_add_(1, table, prediction.probabilities, alpha=share)
        known = total.sum(1, keepdim=True).clamp(min=IMPOSSIBLE)  # a model may know other classes, too
        return log_probabilities(total / known), predictions[0].features
