"""What training minimises: a weighted sum of named terms of what a network says of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.errors import UserError
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.losses.cross_entropy import cross_entropy
from vidseg_ros.losses.inconsistency import inconsistency
from vidseg_ros.losses.temporal import temporal


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips of T frames, N at a time, with their truth.

    frames: RGB uint8 (T, N, 3, H, W). labels: ids, integer (T, N, H, W), IGNORE where unknown. flow: exact, from each
    frame to the next, float32 (T - 1, N, 2, H, W) in pixels; None where nobody knows it. backward: from each frame
    but the first to the one before, alike, exact or estimated; None where nothing remembers along it.
    """

    frames: Tensor
    labels: Tensor
    flow: Tensor | None = None
    backward: Tensor | None = None

    def resized(self, height: int, width: int) -> Batch:
        """The batch at the resolution of smaller logits: the nearest label, the mean colour and the mean flow."""
        before = self.labels.shape[-2:]
        if before == (height, width):
            return self
        labels = functional.interpolate(self.labels.float(), (height, width), mode="nearest").to(self.labels.dtype)
        frames = _mean_of_areas(self.frames.float(), height, width).round().to(self.frames.dtype)
        flow = self.flow
        if flow is not None:
            factor = flow.new_tensor([width / before[1], height / before[0]]).view(2, 1, 1)
            flow = _mean_of_areas(flow, height, width) * factor
        return Batch(frames, labels, flow)


def _mean_of_areas(clips: Tensor, height: int, width: int) -> Tensor:
    """Clips (T, N, C, H, W) at another resolution."""
    small = functional.interpolate(clips.flatten(0, 1), (height, width), mode="area")
    return small.view(*clips.shape[:3], height, width)


@dataclass(frozen=True, eq=False)
class Output:
    """What a network says of a batch.

    logits: float (T, N, C, H, W). state: that after the last frame. features: what its head sees, (T, N, F, h, w).
    auxiliary: logits of a second head, (T, N, C, h, w). None where there is no such thing.
    """

    logits: Tensor
    state: tuple[Tensor, ...] | None = None
    features: Tensor | None = None
    auxiliary: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """All that a term may look at; ``teacher`` is what a teacher says of the batch, ``class_weights`` is (C,)."""

    config: LossConfig
    batch: Batch
    output: Output
    teacher: Output | None
    class_weights: Tensor | None


def _cross_entropy(case: Case) -> Tensor:
    return cross_entropy(case.output.logits, case.batch.labels, case.class_weights)


def _auxiliary(case: Case) -> Tensor:
    given, logits = case.output.auxiliary, case.output.logits
    assert given is not None
    large = functional.interpolate(given.flatten(0, 1), logits.shape[-2:], mode="bilinear", align_corners=True)
    return cross_entropy(large.view_as(logits), case.batch.labels, case.class_weights)


def _inconsistency(case: Case) -> Tensor:
    logits, config = case.output.logits, case.config
    if len(logits) == 1:
        return logits.new_zeros(())
    absolute, all_classes = config.difference == "absolute", config.compared == "all"
    return inconsistency(logits.softmax(2), case.batch.labels, absolute, all_classes, config.dilation)


def _temporal(case: Case) -> Tensor:
    logits, batch = case.output.logits, case.batch
    if len(logits) == 1:
        return logits.new_zeros(())
    if batch.flow is None:
        raise UserError(
            f"loss.lambda_temporal is {case.config.lambda_temporal}, but the exact flow of the clips is not known; "
            "train on stills or the street world, or set it to 0"
        )
    return temporal(logits, batch.frames, batch.flow, case.config.temporal == "logits")


TERMS: dict[str, Callable[[Case], Tensor]] = {
    "ce": _cross_entropy,  # F2F paper, equation (1) with lambda_ce = 1
    "auxiliary": _auxiliary,  # PSPNet paper, section 3.3
    "incons": _inconsistency,  # F2F paper, equations (2) to (6)
    "temporal": _temporal,  # ETC paper, equation (1)
}
"""Names, as logs and ``LossConfig.lambdas`` have them, to scalar functions."""

REPORTED = ("ce", "incons")  # also with weight 0


class Objective(nn.Module):
    """The sum of ``TERMS``, each times its weight in ``config``; class_weights: those of cross entropy, (C,)."""

    class_weights: Tensor | None

    def __init__(self, config: LossConfig | None = None, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.config = config or LossConfig()
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, batch: Batch, output: Output, teacher: Output | None = None) -> dict[str, Tensor]:
        """The scalars ``total`` and, not yet weighted, each term that counts or is reported.

        ``batch`` may have a higher resolution than the logits. Raises UserError where a term needs what is not there.
        """
        batch = batch.resized(*output.logits.shape[-2:])
        case = Case(self.config, batch, output, teacher, self.class_weights)
        lambdas = self.config.lambdas
        if output.auxiliary is None:
            lambdas["auxiliary"] = 0.0
        terms = {name: term(case) for name, term in TERMS.items() if lambdas[name] or name in REPORTED}
        total = sum((lambdas[name] * value for name, value in terms.items()), output.logits.new_zeros(()))
        return {"total": total, **terms}
