"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

from vidseg_ros.errors import UserError
from vidseg_ros.losses.inconsistency import CODE, Rule
from vidseg_ros.schema import require_not_negative, require_one_of

PAPER = "paper"
DIFFERENCES = ("squared", "absolute")
COMPARED = ("label", "all")
TEMPORAL = ("probabilities", "logits")
DISTILLED = ("sf", "pf", "mf")  # terms that need a teacher


@dataclass(frozen=True)
class LossConfig:
    """Cross entropy, the inconsistency loss (F2F paper, equations (1) to (6), and its public code), cross entropy of an
    auxiliary head (PSPNet paper, section 3.3), and the temporal loss and distillation of ETC (its paper, equations (1)
    to (3), and its public code), which takes 0.1 for each."""

    weight_power: float = 1.0  # of the class weights 1 / ln(1.10 + p); 0: all classes count alike
    lambda_incons: float = 10.0
    inconsistency: str = PAPER  # or a variant of the public code, which has its own of the next three
    difference: str = "squared"
    compared: str = "label"  # the probability of the true class, or of all classes
    dilation: int = 0  # pixels around a change of the truth that are left out
    lambda_temporal: float = 0.0
    temporal: str = "probabilities"  # as in the paper, or on logits as in the public code
    lambda_auxiliary: float = 0.4  # where the network has an auxiliary head
    lambda_sf: float = 0.0  # single-frame distillation: the teacher's probabilities of each pixel
    lambda_pf: float = 0.0  # pair-wise-frames dependency: its affinities between two frames
    lambda_mf: float = 0.0  # multi-frame dependency: its embedding of a clip

    def __post_init__(self) -> None:
        require_one_of("loss.inconsistency", self.inconsistency, (PAPER, *CODE))
        require_one_of("loss.difference", self.difference, DIFFERENCES)
        require_one_of("loss.compared", self.compared, COMPARED)
        require_one_of("loss.temporal", self.temporal, TEMPORAL)
        etc = (f"lambda_{name}" for name in ("temporal", "auxiliary", *DISTILLED))
        for key in ("weight_power", "lambda_incons", "dilation", *etc):
            require_not_negative(**{f"loss.{key}": getattr(self, key)})

        if self.inconsistency != PAPER and self._paper != Rule():
            raise UserError(
                f"loss.inconsistency is {self.inconsistency}, which has its own difference, compared and dilation; "
                f"leave them out, or use {PAPER}"
            )

    @property
    def _paper(self) -> Rule:
        return Rule(self.difference == "absolute", self.compared == "all", dilation=self.dilation)

    @property
    def rule(self) -> Rule:
        """What the inconsistency loss counts."""
        return CODE.get(self.inconsistency, self._paper)

    @property
    def lambdas(self) -> dict[str, float]:
        """The factor of each term in the total, by the names of ``objective.TERMS``."""
        distilled = {name: getattr(self, f"lambda_{name}") for name in DISTILLED}
        own = {"incons": self.lambda_incons, "temporal": self.lambda_temporal, "auxiliary": self.lambda_auxiliary}
        return {"ce": 1.0} | own | distilled

    @property
    def needs_flow(self) -> bool:
        """Whether a term that counts looks at the flow from each frame to the next."""
        return self.lambda_temporal > 0

    @property
    def needs_teacher(self) -> bool:
        """Whether a term that counts looks at what a teacher says."""
        return any(getattr(self, f"lambda_{name}") > 0 for name in DISTILLED)

    @property
    def needs_features(self) -> bool:
        """Whether a term that counts looks at what the head sees."""
        return self.lambda_mf > 0
