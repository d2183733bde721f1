"""The comparisons of the papers, redone small: ``make experiments``. Writes docs/experiments.json.

Every run trains as ``vidseg train`` does and is judged as ``vidseg evaluate`` does; one with a memory with it off, too.
What is in experiments.json is not run again; name experiments to run only those, and with ``--device`` say where.
Checkpoints lie in build/experiments. Needs CamVid (VIDSEG_DATA) and the official Cityscapes weights beside it.

``tools.comparisons`` says what is compared.
"""

from __future__ import annotations

import fcntl
import json
import re
import sys
import time
from argparse import ArgumentParser
from pathlib import Path

from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.data.datasets import data_root, open_dataset
from vidseg_ros.data.stored import sequences
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.files import write_atomic
from vidseg_ros.schema import from_dict
from vidseg_ros.training.config import TrainConfig
from vidseg_ros.training.trainer import Hardware, train

if __name__ == "__main__":  # as ``python tools/experiments.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.comparisons import CALM, EXPERIMENTS, OFFICIAL, Config

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "experiments.json"
WORK = DOCS.parent / "build" / "experiments"
OFFICIAL_FILE = data_root().parent / "weights" / "official_decoder_espnet_p_2_q_3.pth"
VAL = "camvid/val"


def checkpoint_of(name: str) -> Path:
    """Where the checkpoint of an experiment lies."""
    return WORK / f"{re.sub(r'[ ,:+]+', '_', name.replace('%', 'percent'))}.safetensors"


def start_of(name: str | None) -> Checkpoint | None:
    """The checkpoint that a run starts from."""
    if name == OFFICIAL:
        return import_weights(OFFICIAL_FILE)
    return None if name is None else load_checkpoint(checkpoint_of(name) if name in EXPERIMENTS else name)


def run(name: str, hardware: Hardware) -> Config:
    """Train and judge one experiment; returns its figures."""
    config, start = EXPERIMENTS[name]
    begin, output = time.monotonic(), checkpoint_of(name)
    run_folder = output.with_suffix(".run")
    checkpoint = train(
        from_dict(TrainConfig, CALM | config), output, start_of(start), hardware, print, run_folder.exists()
    )
    images = sum(phase["steps"] * phase["clip_length"] * phase["batch"] for phase in config["phases"])
    network = checkpoint.network
    memory = sum(p.numel() for n, p in network.cell.named_parameters() if n not in ("h0", "c0")) if network.cell else 0
    about = {"start": start, "images": images, "cell_parameters": memory, "config": config, "device": hardware.device}
    remembers = network.cell or network.propagation
    off = {"off": judge(checkpoint, hardware.device, "off")} if remembers else {}
    return judge(checkpoint, hardware.device) | off | about | {"minutes": round((time.monotonic() - begin) / 60, 1)}


def judge(checkpoint: Checkpoint, device: str, memory: str = "auto") -> Config:
    """Figures of a checkpoint on CamVid val."""
    engine = TorchEngine(checkpoint, EngineConfig("torch", device, memory=memory))
    return evaluate(engine, sequences(open_dataset(VAL, checkpoint.labels)), temporal=True)


def known() -> Config:
    """Figures so far."""
    figures: Config = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    return figures


def keep(name: str, report: Config) -> None:
    """Write the figures of a run beside those of others, which other processes may write."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_atomic(RESULTS, (json.dumps(known() | {name: report}, indent=1) + "\n").encode())


def main() -> None:
    """Run what is missing. Other processes may run other experiments meanwhile."""
    parser = ArgumentParser(description="the comparisons of the papers, redone small")
    parser.add_argument("names", nargs="*", help="experiments (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: cpu)")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw clips (default: 0)")
    options = parser.parse_args()
    hardware = Hardware(options.device, options.workers)
    starts = {start for _, start in EXPERIMENTS.values()}
    for name in options.names or EXPERIMENTS:
        if name not in known() or (name in starts and not checkpoint_of(name).is_file()):
            report = run(name, hardware)
            keep(name, report)
            print(name, {key: report[key] for key in ("miou", "acc", "cons", "consw", "minutes")})


if __name__ == "__main__":
    main()
