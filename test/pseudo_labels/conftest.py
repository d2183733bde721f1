import pytest

from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig


@pytest.fixture(scope="session")
def drive():
    world = StreetWorld(StreetWorldConfig(width=96, height=64, seed=3))
    return [world.frame(index) for index in range(5)]
