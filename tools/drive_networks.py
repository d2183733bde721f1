"""Train one network of each family for the street world, at equal budget; ``tools.drive_figures`` drives by them.

    python -m tools.drive_networks [NAMES]      # trains in build/driving, resumable

All go on from espnet_street with its data, augmentation and precision, for as many steps of as many images, with the
statistics of its norms; what a family is differs. The single frame is the control: the same training without any of it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.closed_loop import CHECKPOINT
from vidseg_ros.networks.config import CellConfig
from vidseg_ros.networks.stgru import STGRUConfig
from vidseg_ros.schema import load_yaml
from vidseg_ros.training.config import PhaseConfig, TrainConfig
from vidseg_ros.training.trainer import Hardware, train

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "driving"
SHIPPED = load_yaml(ROOT / "config" / "train" / f"{CHECKPOINT}.yaml", TrainConfig)
STEPS, IMAGES, RATE = 150, 16, 2e-4


def phase(clip_length: int, steps: int = STEPS, learning_rate: float = RATE, **more: Any) -> PhaseConfig:
    """So many steps of clips that hold IMAGES together, or as many as whole clips can."""
    return PhaseConfig(steps, clip_length, IMAGES // clip_length, learning_rate, freeze_norm=True, **more)


GRFP: dict[str, Any] = {"betas": (0.95, 0.99), "supervise": "last"}  # as config/train/stgru_camvid.yaml
FAMILIES = {
    "single frame": replace(SHIPPED, phases=(phase(1),)),
    "temporal loss": replace(
        SHIPPED, phases=(phase(2),), loss=replace(SHIPPED.loss, lambda_incons=0.0, lambda_temporal=0.1)
    ),
    "ConvLSTM": replace(
        SHIPPED,
        network=replace(SHIPPED.network, cell=CellConfig("L1b", kernel=5)),
        phases=(phase(4, burn_in=10),),
    ),
    "STGRU": replace(
        SHIPPED,
        network=replace(SHIPPED.network, propagation=STGRUConfig()),
        memory_flow="estimated",
        phases=(
            phase(5, STEPS * 3 // 5, trainable="propagation", **GRFP),
            phase(5, STEPS * 2 // 5, RATE / 10, **GRFP),
        ),
    ),
}
"""Name -> training. The temporal loss is that of ETC, whose distillation needs a teacher, and none knows this world."""


def trained(name: str) -> Path:
    """Where the network of a family lies; trains what is not there."""
    output = WORK / f"{name.replace(' ', '_').lower()}.safetensors"
    if not output.is_file():
        WORK.mkdir(parents=True, exist_ok=True)
        begun = output.with_suffix(".run").exists()
        train(FAMILIES[name], output, load_checkpoint(CHECKPOINT), Hardware("cpu"), print, begun)
    return output


if __name__ == "__main__":
    for family in sys.argv[1:] or FAMILIES:
        trained(family)
