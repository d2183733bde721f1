"""One phase of training as Lightning sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError
from vidseg_ros.evaluation.evaluator import Evaluator
from vidseg_ros.labels import LabelSet
from vidseg_ros.losses import Batch, Objective, Output
from vidseg_ros.networks import State, StreamingNetwork, build, unroll
from vidseg_ros.training.arithmetic import memory_format
from vidseg_ros.training.config import PhaseConfig, TrainConfig

MAX_GRADIENT = 1.0  # norm
WARM_UP = 0.05  # of the steps


def _pace(step: int, steps: int) -> float:
    """Return the share of the learning rate at ``step``."""
    return min((step + 1) / (WARM_UP * steps + 1), 0.5 + 0.5 * math.cos(math.pi * step / steps))


def there_and_back(count: int, length: int) -> list[int]:
    """Return the ``count`` frames that come before frame 0 where a clip of ``length`` runs to and fro.

    >>> there_and_back(5, 3)
    [1, 0, 1, 2, 1]
    """
    period = 2 * (length - 1)
    return [min(back % period, period - back % period) for back in range(count, 0, -1)]


class SegmentationModule(LightningModule):
    """Trains what ``phase`` says of ``network``; validation runs the stream that the node runs."""

    def __init__(
        self,
        network: StreamingNetwork,
        labels: LabelSet,
        config: TrainConfig,
        phase: PhaseConfig,
        weights: Tensor,
        validation: Sequence[Sequence[StoredFrame]] = (),
    ) -> None:
        super().__init__()
        self.network, self.labels, self.config, self.phase = network, labels, config, phase
        self.objective = Objective(config.loss, weights)
        self.head = None
        if phase.trainable == "encoder":
            self.head = nn.Conv2d(network.features_channels, len(labels), 1)
        self.validation = () if self.head else validation  # an encoder alone labels nothing
        self.report: dict[str, Any] = {}
        self._freeze()

    def _freeze(self) -> None:
        """Let only the part learn that the phase names."""
        parts = {"encoder": self.network.encoder, "cell": self.network.cell}
        learning = parts.get(self.phase.trainable)
        if learning is not None:
            self.network.requires_grad_(False)
            learning.requires_grad_(True)

    def on_train_start(self) -> None:
        """Train, but keep the statistics of batch norms that must not learn."""
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d) and (self.phase.freeze_norm or not module.weight.requires_grad):
                module.eval()

    def training_step(self, clips: tuple[Tensor, ...], index: int) -> Tensor:
        """Take clips (N, T, ...) as ``ClipDataset`` has them and return the loss."""
        frames, *rest = (part.transpose(0, 1) for part in clips)
        if memory_format(self.device.type, self.config.precision) is torch.contiguous_format:
            frames = frames.contiguous()  # files have channels last, and a network keeps that
        batch = Batch(frames, *rest)
        losses: dict[str, Tensor] = self.objective(batch, self._predict(batch.frames))
        if not torch.isfinite(losses["total"]):
            raise self._diverged("loss", losses["total"])
        self.log_dict({f"train/{name}": value for name, value in losses.items()})
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["total"]

    def _predict(self, frames: Tensor) -> Output:
        """Output with logits in float32; those of an encoder are smaller than the frames (T, N, 3, H, W)."""
        if self.head is None:
            logits, state = unroll(self.network, frames, self._burn_in(frames))
            return Output(logits.float(), state)
        return Output(torch.stack([self.head(self.network.features(frame)) for frame in frames]).float())

    @torch.no_grad()
    def _burn_in(self, frames: Tensor) -> State | None:
        """Return the state in which every second step starts: in turn that of the clip and that of its neighbour.

        From fresh starts alone a memory learns nothing of times beyond the clip, and may grow without bound there. From
        its own clip alone it learns that what it remembers is always right.
        """
        count = self.phase.burn_in * (self.global_step % 2)
        if not count:
            return None
        _, state = unroll(self.network, frames[there_and_back(count, len(frames))])
        neighbour = self.global_step % 4 // 2
        return tuple(tensor.roll(neighbour, 0) for tensor in state)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip the norm; what is not finite must not reach the weights (16-mixed scales and skips by itself)."""
        norm = nn.utils.clip_grad_norm_(self.parameters(), MAX_GRADIENT)
        if not torch.isfinite(norm) and self.config.precision != "16-mixed":
            raise self._diverged("gradient", norm)

    def _diverged(self, what: str, value: Tensor) -> UserError:
        where = f"at step {self.global_step + 1} of a phase that trains '{self.phase.trainable}'"
        return UserError(f"the {what} is {value.item()} {where}; lower its learning_rate and go on with --resume")

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate rises over the first steps and falls to zero along a cosine."""
        learning = [p for p in self.parameters() if p.requires_grad]
        optimizer = AdamW(learning, self.phase.learning_rate, weight_decay=self.config.weight_decay)
        schedule = LambdaLR(optimizer, partial(_pace, steps=self.phase.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_validation_epoch_start(self) -> None:
        """Evaluator a copy: the engine arranges it for inference."""
        self.judged = self.snapshot()
        self.judge = Evaluator(TorchEngine(self.judged, EngineConfig(device=str(self.device))), device=str(self.device))

    def validation_step(self, number: int, index: int) -> None:
        """Run the sequence ``number``, where there are so many."""
        if number < len(self.validation):
            self.judge.run(self.validation[number])

    def on_validation_epoch_end(self) -> None:
        """Log what ``vidseg evaluate`` would say."""
        self.report = self.judge.scores.report()
        values = {name: value for name, value in self.report.items() if isinstance(value, float)}
        self.log_dict({f"val/{name}": value for name, value in values.items()})

    def snapshot(self) -> Checkpoint:
        """Return the network as it is now, a copy."""
        copy = build(self.network.config)
        copy.load_state_dict(self.network.state_dict())
        return Checkpoint(copy.eval(), self.labels)
