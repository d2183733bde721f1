"""What happens beside the steps: lines of progress, and the best checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from vidseg_ros.training.module import SegmentationModule

REPORT_EVERY = 50  # steps

Say = Callable[[str], None]


class Progress(Callback):
    """Says mean losses and speed every ``REPORT_EVERY`` steps, and every validation."""

    def __init__(self, say: Say, title: str) -> None:
        self.say, self.title = say, title
        self.losses: list[dict[str, Any]] = []
        self.since = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Collect, and now and then say."""
        assert isinstance(module, SegmentationModule)
        self.losses.append(module.losses)
        step, steps = trainer.global_step, module.phase.steps
        if len(self.losses) == REPORT_EVERY or step == steps:
            means = {key: torch.stack([losses[key] for losses in self.losses]).mean() for key in self.losses[0]}
            values = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
            pace = len(self.losses) / (time.monotonic() - self.since)
            left = (steps - step) / pace / 60
            self._say(f"{self.title}  step {step}/{steps}  {values}  {pace:.2f} steps/s  {left:.0f} min left")
            self.losses, self.since = [], time.monotonic()

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Say the figures."""
        assert isinstance(module, SegmentationModule)
        values = "  ".join(f"{name} {value}" for name, value in module.report.items() if isinstance(value, float))
        self._say(f"{self.title}  step {trainer.global_step}  {values}")
        self.since = time.monotonic()

    @rank_zero_only
    def _say(self, line: str) -> None:
        self.say(line)


class KeepBest(Callback):
    """Writes what was judged to ``path`` at each validation in which ``figure`` is the highest so far; "" is always."""

    def __init__(self, path: Path, figure: str) -> None:
        self.path, self.figure = path, figure
        self.best: float | None = None

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Compare and write."""
        assert isinstance(module, SegmentationModule)
        value = module.report[self.figure] if self.figure else 0.0
        if value is not None and (not self.figure or self.best is None or value > self.best):
            self.best = value
            if trainer.is_global_zero:
                about = {"step": trainer.global_step, "metrics": module.report}
                replace(module.judged, about=about).save(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        self.best = state_dict["best"]
