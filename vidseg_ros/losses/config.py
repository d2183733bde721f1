"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

from vidseg_ros.schema import require_not_negative, require_one_of

DIFFERENCES = ("squared", "absolute")
COMPARED = ("label", "all")
TEMPORAL = ("probabilities", "logits")


@dataclass(frozen=True)
class LossConfig:
    """Cross entropy, the inconsistency loss (F2F paper, equations (1) to (6), and its public code) and the temporal
    loss (ETC paper, equation (1), and its public code)."""

    weight_power: float = 1.0  # of the class weights 1 / ln(1.10 + p); 0: all classes count alike
    lambda_incons: float = 10.0
    difference: str = "squared"
    compared: str = "label"  # the probability of the true class, or of all classes
    dilation: int = 0  # pixels around a change of the truth that are left out; the public code takes 2
    lambda_temporal: float = 0.0  # the paper takes 0.1; above 0, clips must know their flow
    temporal: str = "probabilities"  # as in the paper, or on logits as in the public code

    def __post_init__(self) -> None:
        require_one_of("loss.difference", self.difference, DIFFERENCES)
        require_one_of("loss.compared", self.compared, COMPARED)
        require_one_of("loss.temporal", self.temporal, TEMPORAL)
        for key in ("weight_power", "lambda_incons", "dilation", "lambda_temporal"):
            require_not_negative(**{f"loss.{key}": getattr(self, key)})

    @property
    def lambdas(self) -> dict[str, float]:
        """The factor of each term in the total, by the names of ``objective.TERMS``."""
        return {"ce": 1.0, "incons": self.lambda_incons, "temporal": self.lambda_temporal}

    @property
    def needs_flow(self) -> bool:
        """Whether a term that counts looks at the flow from each frame to the next."""
        return self.lambda_temporal > 0
