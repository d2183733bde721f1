import cv2
import numpy as np
import pytest

from test.conftest import SIZE
from vidseg_ros.data.config import AugmentationConfig, SourceConfig
from vidseg_ros.networks.config import CellConfig, InputConfig
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.training.config import PhaseConfig, TrainConfig

NETWORK = ESPNetConfig(p=1, q=1, cell=CellConfig(state_size=(8, 12)), input=InputConfig(SIZE))
PLAIN = AugmentationConfig(shadows=0.0, occluders=0.0)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Four labelled frames, three of them consecutive: a light sky above a dark road."""
    folder = tmp_path / "datasets" / "toy"
    for name in ("frames", "labels"):
        (folder / name).mkdir(parents=True)
    labels = np.repeat(np.array([0, 3], np.uint8), 40)[:, None].repeat(120, 1)
    labels[:, :6] = 11  # void
    for number in (30, 32, 34, 90):
        rng = np.random.default_rng(number)
        image = np.where(labels == 0, 210, 60)[..., None] + rng.integers(-20, 20, (80, 120, 3))
        cv2.imwrite(str(folder / "frames" / f"s_{number:05}.png"), image.astype(np.uint8))
        cv2.imwrite(str(folder / "labels" / f"s_{number:05}.png"), labels)
    monkeypatch.setenv("VIDSEG_DATA", str(tmp_path / "datasets"))
    return folder


def toy_config(*phases, network=NETWORK, **settings):
    settings = {"data": (SourceConfig("toy"),), "augmentation": PLAIN} | settings
    return TrainConfig(network, phases or (PhaseConfig(3, 2, 2, 1e-3),), **settings)
