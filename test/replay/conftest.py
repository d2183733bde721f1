import numpy as np
import pytest

from test.io.making import image, write_bag
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.replay.config import ReplayConfig
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

FRAMES = 12
PERIOD = 66_666_667  # nanoseconds
START = 1_700_000_000 * 10**9
LATE = 12_345  # nanoseconds from stamp to recording


@pytest.fixture(scope="session")
def drive():
    world = StreetWorld(StreetWorldConfig(width=96, height=64, seed=3))
    return [world.frame(index) for index in range(FRAMES)]


def stamps(count=FRAMES):
    return [START + index * PERIOD for index in range(count)]


def messages(pixels, encoding="rgb8", offset=0):
    """Return image messages of the drive, recorded a little later than they were stamped."""
    return [
        (stamp + LATE, image(np.ascontiguousarray(plane), stamp + offset, encoding))
        for stamp, plane in zip(stamps(len(pixels)), pixels, strict=True)
    ]


@pytest.fixture
def bag(drive, tmp_path):
    """Return a bag with frames and ids of the drive."""
    topics = {
        "/front/image_raw": messages([f.rgb for f in drive]),
        "/truth": messages([f.labels for f in drive], "mono8", 400),
    }
    return write_bag(tmp_path / "drive", topics)


@pytest.fixture
def config(checkpoint_file):
    engine = EngineConfig(engine="torch", device="cpu", threads=1)
    return ReplayConfig(str(checkpoint_file), topics=("/front/image_raw",), engine=engine)
