import os
import random
import signal
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: spinning threads stall beside other processes

import pytest
import torch

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.data.datasets import data_root
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import CAMVID
from vidseg_ros.networks import build
from vidseg_ros.networks.config import CellConfig, InputConfig
from vidseg_ros.networks.espnet import ESPNetConfig

# Talk to nobody but this run: its own domain, this machine only. Child processes inherit it.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(1, 100))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

# The background of a shell ignores interrupts, and so would every process that a test starts there.
signal.signal(signal.SIGINT, signal.default_int_handler)

CACHE = tempfile.TemporaryDirectory(prefix="vidseg_ros_")  # of converted networks; removed at exit
os.environ["XDG_CACHE_HOME"] = CACHE.name

SIZE = (96, 64)
CPU = EngineConfig(device="cpu")


def tiny_network(position="L1b", seed=0, **cell):
    torch.manual_seed(seed)
    memory = CellConfig(position, state_size=(8, 12), **cell) if position else None
    return build(ESPNetConfig(p=1, q=1, cell=memory, input=InputConfig(SIZE))).eval()


def wakeful():
    """A tiny network that shows its memory: the paths around the cell are cut, it forgets slowly, and it is sure."""
    network = tiny_network()
    torch.nn.init.normal_(network.cell.h0)
    torch.nn.init.normal_(network.cell.c0)
    with torch.no_grad():
        network.reductions["L1c"].weight.zero_()
        network.reductions["L1d"].weight[:, len(CAMVID) :].zero_()
        network.cell.gates.convolution.bias[len(CAMVID) : 2 * len(CAMVID)] = 2.0
        network.head.weight.mul_(2000)
    return network


@pytest.fixture
def checkpoint():
    return Checkpoint(wakeful(), CAMVID)


@pytest.fixture
def checkpoint_file(checkpoint, tmp_path):
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path)
    return path


@pytest.fixture(scope="session")
def camvid_val() -> Path:
    folder = data_root() / "camvid" / "val"
    if not folder.is_dir():
        pytest.skip("CamVid is not here; set VIDSEG_DATA")
    return folder


@pytest.fixture(scope="session")
def official_weights() -> Path:
    folder = data_root().parent / "weights"
    if not folder.is_dir():
        pytest.skip("the official weights are not here")
    return folder
