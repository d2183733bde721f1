"""The comparisons of the F2F paper, redone small: ``make experiments``. Writes docs/experiments.json.

Every run trains as ``vidseg train`` does and is judged as ``vidseg evaluate`` does; one with a memory with it off, too.
What is in experiments.json is not run again; name experiments to run only those, and with ``--device`` say where.
Checkpoints lie in build/experiments. Needs CamVid (VIDSEG_DATA) and the official Cityscapes weights beside it.

A comparison changes one thing. All runs go on from one start, with the same optimiser, rate, frozen norms and number of
images a step; "single, same clips" also sees the clips and the inconsistency loss that the memory sees.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.checkpoints.importing import ESPNET_CITYSCAPES, import_weights
from vidseg_ros.data.datasets import data_root, open_dataset
from vidseg_ros.data.stored import sequences
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.schema import from_dict
from vidseg_ros.training.config import TrainConfig
from vidseg_ros.training.trainer import Hardware, train

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "experiments.json"
WORK = DOCS.parent / "build" / "experiments"
OFFICIAL = data_root().parent / "weights" / "official_decoder_espnet_p_2_q_3.pth"
TEACHER = "official release"  # a start
VAL = "camvid/val"
Config = dict[str, Any]
Experiment = tuple[Config, str | None]
"""The configuration of a run, and what it starts from."""

INPUT: Config = {
    "channel_order": "bgr",
    "mean": ESPNET_CITYSCAPES.mean,
    "std": ESPNET_CITYSCAPES.std,
    "scale": ESPNET_CITYSCAPES.scale,
}
ESPNET: Config = {"decoder_channels": 20, "input": INPUT | {"size": [240, 180]}}
SSNET: Config = {"name": "ssnet", "input": INPUT | {"size": [160, 120]}}
CALM: Config = {"augmentation": {"zoom_range": [0.8, 1.8], "occluders": 0.8}, "precision": "bf16-mixed"}
STREET = "street"


def single(steps: int, rate: float, **phase: Any) -> list[Config]:
    """Phases of a single-frame network: 8 images a step."""
    return [{"trainable": "single", "steps": steps, "clip_length": 1, "batch": 8, "learning_rate": rate} | phase]


def video(steps: int, rate: float, **phase: Any) -> list[Config]:
    """Phases of a network with memory: 8 images a step."""
    clips: Config = {"clip_length": 4, "batch": 2, "burn_in": 8, "freeze_norm": True}
    return [{"trainable": "all", "steps": steps, "learning_rate": rate} | clips | phase]


def still(**phase: Any) -> Experiment:
    """A run of ESPNet without memory."""
    return {"network": ESPNET, "phases": single(STEPS, RATE, freeze_norm=True, **phase), "data": CAMVID}, "start"


def espnet(
    share: float = 0.0,
    loss: Config | None = None,
    init_from_convolution: bool = True,
    trainable: str = "all",
    **cell: Any,
) -> Experiment:
    """A run of ESPNet with a ConvLSTM."""
    data: list[Config] = [{"source": "camvid/train", "share": 1 - share}]
    data += [{"source": STREET, "share": share}] if share else []
    cell = {"position": "L1b", "kernel": 3, "state_size": [23, 30]} | cell
    phases = video(STEPS, CELL_RATE if trainable == "cell" else RATE, trainable=trainable)
    config: Config = {"network": ESPNET | {"cell": cell}, "phases": phases, "data": data}
    return config | {"init_from_convolution": init_from_convolution, "loss": loss or {}}, "start"


STEPS, RATE, CELL_RATE = 280, 2e-4, 1e-3
SEEDS = (0, 1, 2)
CAMVID = [{"source": "camvid/train"}]
SEEDED: dict[str, Experiment] = {
    "single": still(),
    "single, same clips": still(clip_length=4, batch=2),
    "L1b 3x3": espnet(),
    "cell only": espnet(trainable="cell"),
    "cell only, lambda 0": espnet(trainable="cell", loss={"lambda_incons": 0}),
    "cell only, lambda 100": espnet(trainable="cell", loss={"lambda_incons": 100}),
    "cell only, absolute": espnet(trainable="cell", loss={"difference": "absolute"}),
}
"""The main rows, once a seed."""

RUNS: dict[str, Experiment] = {
    "L1a 11x11": espnet(position="L1a", kernel=11, state_size=[180, 240]),
    "L1c 5x5": espnet(position="L1c", kernel=5, state_size=[45, 60]),
    "L1d 7x7": espnet(position="L1d", kernel=7, state_size=[90, 120]),
    "L1a 3x3 standard": espnet(position="L1a", state_size=[180, 240]),
    "L1a 3x3 depthwise": espnet(position="L1a", convolution="depthwise", state_size=[180, 240]),
    "L1a 3x3 shared": espnet(position="L1a", convolution="shared", state_size=[180, 240]),
    "lambda 0": espnet(loss={"lambda_incons": 0}),
    "lambda 100": espnet(loss={"lambda_incons": 100}),
    "absolute": espnet(loss={"difference": "absolute"}),
    "all classes": espnet(loss={"compared": "all"}),
    "dilation 2": espnet(loss={"dilation": 2}),
    "PReLU, fresh": espnet(init_from_convolution=False),
    "tanh, fresh": espnet(init_from_convolution=False, activation="tanh"),
    "street 10 %": espnet(share=0.1),
    "street 20 %": espnet(share=0.2),
    "street 50 %": espnet(share=0.5),
    "SSNet": ({"network": SSNET, "phases": single(STEPS, 1e-3, freeze_norm=True), "data": CAMVID}, "SSNet start"),
    "VSSNet": (
        {
            "network": SSNET | {"cell": {"position": "last", "kernel": 3, "state_size": [120, 160]}},
            "phases": video(STEPS, 1e-3),
            "data": CAMVID,
        },
        "SSNet start",
    ),
}


def seeded(runs: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """Each run once a seed; the first keeps its name."""
    return {
        name if seed == 0 else f"{name}, seed {seed}": (config | {"seed": seed}, start)
        for name, (config, start) in runs.items()
        for seed in SEEDS
    }


EXPERIMENTS: dict[str, Experiment] = {
    "start": ({"network": ESPNET, "phases": single(500, 1e-3), "data": CAMVID}, TEACHER),
    "SSNet start": ({"network": SSNET, "phases": single(500, 2e-3), "data": CAMVID}, None),
    **seeded(SEEDED),
    **RUNS,
}


def checkpoint_of(name: str) -> Path:
    """Where the checkpoint of an experiment lies."""
    return WORK / f"{name.replace(' ', '_').replace(',', '').replace('%', 'percent')}.safetensors"


def start_of(name: str | None) -> Checkpoint | None:
    """The checkpoint that a run starts from."""
    if name == TEACHER:
        return import_weights(OFFICIAL)
    return None if name is None else load_checkpoint(checkpoint_of(name))


def run(name: str, device: str = "cpu") -> Config:
    """Train and judge one experiment; returns its figures."""
    config, start = EXPERIMENTS[name]
    begin, output = time.monotonic(), checkpoint_of(name)
    run_folder = output.with_suffix(".run")
    checkpoint = train(
        from_dict(TrainConfig, CALM | config), output, start_of(start), Hardware(device), print, run_folder.exists()
    )
    images = sum(phase["steps"] * phase["clip_length"] * phase["batch"] for phase in config["phases"])
    network = checkpoint.network
    memory = sum(p.numel() for n, p in network.cell.named_parameters() if n not in ("h0", "c0")) if network.cell else 0
    about = {"start": start, "images": images, "cell_parameters": memory, "config": config, "device": device}
    off = {"off": judge(checkpoint, device, "off")} if memory else {}
    return judge(checkpoint, device) | off | about | {"minutes": round((time.monotonic() - begin) / 60, 1)}


def judge(checkpoint: Checkpoint, device: str, memory: str = "auto") -> Config:
    """Figures of a checkpoint on CamVid val."""
    engine = TorchEngine(checkpoint, EngineConfig("torch", device, memory=memory))
    return evaluate(engine, sequences(open_dataset(VAL, checkpoint.labels)))


def known() -> Config:
    """Figures so far."""
    figures: Config = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    return figures


def main() -> None:
    """Run what is missing. Other processes may run other experiments meanwhile."""
    parser = ArgumentParser(description="the comparisons of the F2F paper, redone small")
    parser.add_argument("names", nargs="*", help="experiments (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: cpu)")
    options = parser.parse_args()
    starts = {start for _, start in EXPERIMENTS.values()}
    for name in options.names or EXPERIMENTS:
        if name not in known() or (name in starts and not checkpoint_of(name).is_file()):
            report = run(name, options.device)
            RESULTS.write_text(json.dumps(known() | {name: report}, indent=1) + "\n")
            print(name, {key: report[key] for key in ("miou", "acc", "cons", "consw", "minutes")})


if __name__ == "__main__":
    main()
