"""What training minimises: a weighted sum of named terms of what a network says of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.errors import UserError
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.losses.cross_entropy import cross_entropy
from vidseg_ros.losses.distillation import ClipEmbedding, multi_frame, pair_wise, single_frame
from vidseg_ros.losses.inconsistency import inconsistency
from vidseg_ros.losses.temporal import temporal

TINY = 1e-12  # a probability


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips of T frames, N at a time, with their truth.

    frames: RGB uint8 (T, N, 3, H, W). labels: ids, integer (T, N, H, W), IGNORE where unknown. flow: from each frame to
    the next, exact or estimated, float32 (T - 1, N, 2, H, W) in pixels, far out of the picture where nobody knows it;
    None where nothing looks at it. backward: from each frame but the first to the one before, alike; None where nothing
    remembers along it.
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


def _like(teacher: Output, output: Output) -> Output:
    """A teacher's log probabilities at the resolution of ``output``: those of the mean probabilities."""
    size = output.logits.shape[-2:]
    if teacher.logits.shape[-2:] == size:
        return teacher
    return replace(teacher, logits=_mean_of_areas(teacher.logits.softmax(2), *size).clamp(min=TINY).log())


@dataclass(frozen=True, eq=False)
class Case:
    """All that a term may look at.

    teacher: what a teacher says of the batch, at the resolution of ``output``. class_weights: (C,). embedding: of
    clips.
    """

    config: LossConfig
    batch: Batch
    output: Output
    teacher: Output | None
    class_weights: Tensor | None
    embedding: ClipEmbedding | None = None

    @property
    def taught(self) -> Output:
        """What the teacher says. Raises UserError where there is none."""
        if self.teacher is None:
            raise UserError("loss.lambda_sf, lambda_pf or lambda_mf is above 0, and there is no teacher; name one")
        return self.teacher


def _cross_entropy(case: Case) -> Tensor:
    return cross_entropy(case.output.logits, case.batch.labels, case.class_weights)


def _auxiliary(case: Case) -> Tensor:
    given, logits = case.output.auxiliary, case.output.logits
    assert given is not None
    large = functional.interpolate(given.flatten(0, 1), logits.shape[-2:], mode="bilinear", align_corners=True)
    return cross_entropy(large.view_as(logits), case.batch.labels, case.class_weights)


def _inconsistency(case: Case) -> Tensor:
    logits = case.output.logits
    if len(logits) == 1:
        return logits.new_zeros(())
    return inconsistency(logits.softmax(2), case.batch.labels, case.config.rule)


def _temporal(case: Case) -> Tensor:
    logits, batch = case.output.logits, case.batch
    if len(logits) == 1:
        return logits.new_zeros(())
    if batch.flow is None:
        raise UserError(
            f"loss.lambda_temporal is {case.config.lambda_temporal}, but the flow of the clips is not known; "
            "give it, or set it to 0"
        )
    return temporal(logits, batch.frames, batch.flow, case.config.temporal == "logits")


def _single_frame(case: Case) -> Tensor:
    return single_frame(case.output.logits, case.taught.logits)


def _pair_wise(case: Case) -> Tensor:
    return pair_wise(case.output.logits, case.taught.logits)


def _multi_frame(case: Case) -> Tensor:
    student, teacher, embedding = case.output.features, case.taught.features, case.embedding
    assert student is not None and teacher is not None and embedding is not None, "they are made where lambda_mf counts"
    return multi_frame(student, teacher, embedding)


TERMS: dict[str, Callable[[Case], Tensor]] = {
    "ce": _cross_entropy,  # F2F paper, equation (1) with lambda_ce = 1
    "auxiliary": _auxiliary,  # PSPNet paper, section 3.3
    "incons": _inconsistency,  # F2F paper, equations (2) to (6)
    "temporal": _temporal,  # ETC paper, equation (1)
    "sf": _single_frame,  # ETC paper, section 2.3
    "pf": _pair_wise,  # ETC paper, equation (2)
    "mf": _multi_frame,  # ETC paper, section 2.2
}
"""Names, as logs and ``LossConfig.lambdas`` have them, to scalar functions."""

REPORTED = ("ce", "incons")  # also with weight 0


class Objective(nn.Module):
    """The sum of ``TERMS``, each times its weight in ``config``; class_weights: those of cross entropy, (C,).

    What a term learns beside the network is here, and in no checkpoint of the network.
    """

    class_weights: Tensor | None

    def __init__(self, config: LossConfig | None = None, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.config = config or LossConfig()
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.embedding = ClipEmbedding() if self.config.needs_features else None

    def clip_weights(self) -> None:
        """Keep what terms learn within its range; for after each step."""
        if self.embedding is not None:
            self.embedding.clip()

    def forward(self, batch: Batch, output: Output, teacher: Output | None = None) -> dict[str, Tensor]:
        """The scalars ``total`` and, not yet weighted, each term that counts or is reported.

        ``batch`` may have a higher resolution than the logits. Raises UserError where a term needs what is not there.
        """
        batch = batch.resized(*output.logits.shape[-2:])
        teacher = None if teacher is None else _like(teacher, output)
        case = Case(self.config, batch, output, teacher, self.class_weights, self.embedding)
        lambdas = self.config.lambdas
        if output.auxiliary is None:
            lambdas["auxiliary"] = 0.0
        terms = {name: term(case) for name, term in TERMS.items() if lambdas[name] or name in REPORTED}
        total = sum((lambdas[name] * value for name, value in terms.items()), output.logits.new_zeros(()))
        return {"total": total, **terms}
