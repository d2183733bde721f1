"""One phase of training as Lightning sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.evaluation.evaluator import Evaluator
from vidseg_ros.labels import LabelSet
from vidseg_ros.losses import Batch, Objective, Output
from vidseg_ros.networks import State, StreamingNetwork, build, unroll
from vidseg_ros.networks.positions import AUXILIARY, HEAD, Watch
from vidseg_ros.training.arithmetic import memory_format
from vidseg_ros.training.config import PhaseConfig, TrainConfig
from vidseg_ros.training.divergence import DivergenceWatch, check_every
from vidseg_ros.training.optimization import make_optimizer, pace, parameter_groups, require_own_state
from vidseg_ros.training.sequences import flow_along, last_only, there_and_back
from vidseg_ros.training.teaching import Ensemble

MAX_GRADIENT = 1.0  # norm


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
        teacher: Ensemble | None = None,
    ) -> None:
        super().__init__()
        self.network, self.labels, self.config, self.phase = network, labels, config, phase
        self.objective = Objective(config.loss, weights)
        self.teacher, self.watch = teacher, DivergenceWatch(phase.trainable)
        self.begun = False  # behind what a resumed run takes up
        self.head = None
        if phase.trainable == "encoder":
            self.head = nn.Conv2d(network.features_channels, len(labels), 1)
        self.validation = () if self.head else validation  # an encoder alone labels nothing
        self.report: dict[str, Any] = {}
        self._freeze()

    def _freeze(self) -> None:
        """Let only the part learn that the phase names, and that the loss sees."""
        learning = getattr(self.network, self.phase.trainable, None)  # "all" and "single" are no parts
        if learning is not None:
            self.network.requires_grad_(False)
            learning.requires_grad_(True)
        if self.network.auxiliary is not None and not self.config.loss.lambda_auxiliary:
            self.network.auxiliary.requires_grad_(False)

    def on_train_start(self) -> None:
        """Train at the rate of the configuration, but keep the statistics of batch norms that must not learn."""
        for optimizer in self.trainer.optimizers:
            require_own_state(optimizer)
        self._set_rates()
        if self.teacher is not None:
            self.teacher.to(self.device)
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d) and (self.phase.freeze_norm or not module.weight.requires_grad):
                module.eval()
        self.begun = True

    def _set_rates(self) -> None:
        """Take the learning rate of the configuration, where that of a resumed run was another one."""
        for optimizer, setting in zip(self.trainer.optimizers, self.trainer.lr_scheduler_configs, strict=True):
            scheduler = setting.scheduler
            assert isinstance(scheduler, LambdaLR)
            rate, groups = self.phase.learning_rate, optimizer.param_groups
            scheduler.base_lrs = [rate * group.get("factor", 1.0) for group in groups]
            share = pace(scheduler.last_epoch, self.phase.steps, self.config)
            for group, base in zip(groups, scheduler.base_lrs, strict=True):
                group["initial_lr"], group["lr"] = base, base * share

    def training_step(self, clips: tuple[Tensor, ...], index: int) -> Tensor:
        """Take clips (N, T, ...) as ``ClipDataset`` has them and return the loss.

        What is random in it (dropout) depends on the seed, the step and the process alone, as the clips do.
        """
        key = np.random.SeedSequence((self.config.seed, self.global_step, self.global_rank))
        torch.manual_seed(int(key.generate_state(1)[0]))
        frames, *rest = (part.transpose(0, 1) for part in clips)
        if memory_format(self.device.type, self.config.precision) is torch.contiguous_format:
            frames = frames.contiguous()  # files have channels last, and a network keeps that
        batch = Batch(frames, *rest)
        output = self._predict(batch)
        if self.phase.supervise == "last":
            batch = replace(batch, labels=last_only(batch.labels))
        losses: dict[str, Tensor] = self.objective(batch, output, self._taught(batch.frames))
        self.watch.collect(self.global_step + 1, "loss", losses["total"])
        self.log_dict({f"train/{name}": value for name, value in losses.items()})
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["total"]

    def _taught(self, frames: Tensor) -> Output | None:
        """What the teacher says of the frames (T, N, 3, H, W)."""
        return None if self.teacher is None else self.teacher(frames)

    def _predict(self, batch: Batch) -> Output:
        """Output with logits in float32; those of an encoder are smaller than the frames (T, N, 3, H, W)."""
        if self.head is None:
            loss = self.config.loss
            wanted = {HEAD: loss.needs_features, AUXILIARY: loss.lambda_auxiliary > 0}
            watch: Watch = {name: [] for name, asked in wanted.items() if asked}
            count = self.phase.burn_in * (self.global_step % 2)
            order = there_and_back(count, len(batch.frames))
            flow = flow_along(batch, [*order, *range(len(batch.frames))])
            before = self._burn_in(batch.frames[order], None if flow is None else flow[:count]) if count else None
            logits, state = unroll(self.network, batch.frames, before, None if flow is None else flow[count:], watch)
            features = torch.stack(watch[HEAD]) if watch.get(HEAD) else None
            auxiliary = torch.stack(watch[AUXILIARY]).float() if watch.get(AUXILIARY) else None
            return Output(logits.float(), state, features, auxiliary)
        features = torch.stack([self.network.features(frame) for frame in batch.frames])
        return Output(torch.stack([self.head(x) for x in features]).float(), features=features)

    @torch.no_grad()
    def _burn_in(self, frames: Tensor, flow: Tensor | None) -> State | None:
        """Return the state in which every second step starts: in turn that of the clip and that of its neighbour.

        From fresh starts alone a memory learns nothing of times beyond the clip, and may grow without bound there. From
        its own clip alone it learns that what it remembers is always right. None, a fresh start, where a clip has no
        neighbour.
        """
        neighbour = self.global_step % 4 // 2
        if neighbour and frames.shape[1] == 1:
            return None
        _, state = unroll(self.network, frames, flow=flow)
        return tuple(tensor.roll(neighbour, 0) for tensor in state)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip the norm; what is not finite must not reach the weights (16-mixed scales and skips by itself)."""
        norm = nn.utils.clip_grad_norm_(self.parameters(), MAX_GRADIENT)
        if self.config.precision == "16-mixed":
            return
        self.watch.collect(self.global_step + 1, "gradient", norm)
        if self._skips_by_itself:
            finite = torch.isfinite(norm) & torch.isfinite(self.losses["total"])
            (step,) = self.trainer.optimizers
            step.found_inf = (~finite).float()  # type: ignore[attr-defined] # fused ones look at it

    @property
    def _skips_by_itself(self) -> bool:
        """Whether the optimiser must skip what is not finite, since the next look may be some steps away."""
        device = self.trainer.strategy.root_device.type
        return check_every(device) > 1 and self.config.precision != "16-mixed"

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """Keep what terms of the loss learn within its range."""
        self.objective.clip_weights()

    def on_train_end(self) -> None:
        """Look at the last steps."""
        self.watch.check()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save no state behind a step that was not finite."""
        self.watch.check()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the kind of optimiser that this device wants, whatever kind saved the state.

        Raises ValueError where that has none: Lightning would go on with a new one.
        """
        if not len(checkpoint["optimizer_states"]) == len(checkpoint["lr_schedulers"]) == 1:
            raise ValueError("it is not of one optimizer and its schedule")
        for optimizer in checkpoint["optimizer_states"]:
            for group in optimizer["param_groups"]:
                group["fused"] = self._skips_by_itself or None

    def configure_optimizers(self) -> Any:
        """As the configuration says; the learning rate rises over the first steps and falls to zero."""
        groups = parameter_groups(self, self.network, self.config.head_factor)
        optimizer = make_optimizer(self.config, self.phase, groups, self._skips_by_itself)
        schedule = LambdaLR(optimizer, partial(pace, steps=self.phase.steps, config=self.config))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_validation_epoch_start(self) -> None:
        """Judge a copy: the engine arranges it for inference."""
        self.watch.check()
        self.judged = self.snapshot()
        self.judge = Evaluator(TorchEngine(self.judged, EngineConfig(device=str(self.device))), device=str(self.device))

    def validation_step(self, number: int, index: int) -> None:
        """Run the sequence ``number``, where there are so many."""
        if number < len(self.validation):
            with torch.autocast(self.device.type, enabled=False):  # in float32, as ``vidseg evaluate`` does
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
