"""The same checkpoint, input and engine: the same bytes, run after run."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from test.conftest import wakeful
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines import open_engine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import CAMVID

ROOT = Path(__file__).parents[2]
STEPS = 5
ENGINES = ["torch", "openvino", "onnxruntime"]


def run(engine):
    """Labels and states over a few frames of noise, as bytes."""
    frames = np.random.default_rng(0).integers(0, 256, (STEPS, 1, 64, 96, 3), dtype=np.uint8)
    digest, states = hashlib.sha256(), [None]
    for frame in frames:
        prediction, states = engine.step(frame, states, confidence=True)
        for array in (prediction.labels, prediction.confidence, *map(np.asarray, states[0])):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("threads", [1, 2])
def test_twice_is_the_same(name, threads):
    pytest.importorskip(f"vidseg_ros.engines.{name}")
    config = EngineConfig(name, "cpu", threads)
    checkpoint = Checkpoint(wakeful(), CAMVID)
    engine = open_engine(checkpoint, config)
    assert run(engine) == run(engine) == run(open_engine(checkpoint, config))


@pytest.mark.parametrize("name", ENGINES)
def test_another_process_is_the_same(name, checkpoint_file):
    pytest.importorskip(f"vidseg_ros.engines.{name}")
    command = [sys.executable, __file__, str(checkpoint_file), name]
    search = os.environ | {"PYTHONPATH": str(ROOT)}
    one, other = (
        subprocess.run(command, capture_output=True, text=True, check=True, env=search).stdout for _ in range(2)
    )
    assert len(one.strip()) == hashlib.sha256().digest_size * 2
    assert one == other


@pytest.mark.parametrize("name", ENGINES)
def test_other_threads_give_the_same_labels_but_for_ties(name):
    """Sums may be split by threads; all that this moves are labels that are equally likely."""
    pytest.importorskip(f"vidseg_ros.engines.{name}")
    checkpoint = Checkpoint(wakeful(), CAMVID)
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    one, two = (open_engine(checkpoint, EngineConfig(name, "cpu", n)).step(frame, [None])[0].labels for n in (1, 2))
    assert np.mean(one == two) > 0.999


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    print(run(open_model(sys.argv[1], EngineConfig(sys.argv[2], "cpu", 1))))
