"""Hashes of the labels of CamVid val through node, replay and each engine, to hold a restructuring to equal bytes.

    python -m tools.label_hashes before.json --code ../checkout_before
    python -m tools.label_hashes after.json

Only the command line and the bags that it writes are used, so that any version of the project can be asked. Hashes
hold for one machine: another CPU rounds otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rosbags.highlevel import AnyReader

HERE = Path(__file__).resolve().parents[1]
FRAMES = Path(os.environ.get("VIDSEG_DATA") or HERE.parent / "shared" / "datasets") / "camvid" / "val" / "frames"
CHECKPOINTS = ("espnet_l1b_camvid", "espnet_camvid")
ENGINES = ("torch", "compiled", "onnxruntime", "openvino", "openvino:bf16")
TOPIC = "/segmentation/label"


def main() -> None:
    """Run all cases and write their hashes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, help="file to write")
    parser.add_argument("--code", type=Path, default=HERE, help="the checkout to run (default: this one)")
    options = parser.parse_args()
    hashes = {}
    for checkpoint in CHECKPOINTS:
        for engine in ENGINES:
            hashes[f"replay {checkpoint} {engine}"] = replayed(options.code, checkpoint, engine)
        hashes[f"node {checkpoint} torch"] = through_node(options.code, checkpoint)
        for name in list(hashes)[-len(ENGINES) - 1 :]:
            print(name, hashes[name], flush=True)
    options.json.write_text(json.dumps(hashes, indent=1) + "\n")


def replayed(code: Path, checkpoint: str, engine: str) -> str:
    """Hash of the labels of ``vidseg replay``."""
    name, _, precision = engine.partition(":")
    with TemporaryDirectory() as folder:
        options = ["--checkpoint", checkpoint, "--engine", name, "--output", f"{folder}/out"]
        vidseg(code, "replay", str(FRAMES), *options, *(["--precision", precision] if precision else []))
        return label_hash(Path(folder) / "out" / FRAMES.name / "bag")


def through_node(code: Path, checkpoint: str) -> str:
    """Hash of the labels of ``vidseg demo``: the node in a process of its own, each frame after the last answer."""
    with TemporaryDirectory() as folder:
        options = ["--checkpoint", checkpoint, "--engine", "torch", "--output", folder]
        vidseg(code, "demo", "--input", str(FRAMES), *options)
        return label_hash(Path(folder) / "bag")


def vidseg(code: Path, *arguments: str) -> None:
    """Run a verb of the checkout ``code``."""
    search = {"PYTHONPATH": f"{code.resolve()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "vidseg_ros", *arguments]
    subprocess.run(command, check=True, cwd=code, env=os.environ | search, stdout=subprocess.DEVNULL)


def label_hash(bag: Path) -> str:
    """Hash of the pixels of all label images of a bag."""
    digest = hashlib.sha256()
    with AnyReader([bag]) as reader:
        connections = [connection for connection in reader.connections if connection.topic.endswith(TOPIC)]
        for connection, _, data in reader.messages(connections):
            image: Any = reader.deserialize(data, connection.msgtype)
            digest.update(image.data.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
