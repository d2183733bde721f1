"""A recording whose process is killed at a random moment is refused in one line, or read up to the cut."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from test.io.making import image
from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import IMAGE_TYPE, TYPES, image_topics
from vidseg_ros.io.bag_writer import BagWriter

ROOT = Path(__file__).resolve().parents[2]
BAGS = 6  # that one process writes in turn, so that each is caught at another moment
MESSAGES = 200
SIDES = (20, 190)  # pixels of the pictures, from the first bag to the last
LONGEST = 15_000_000  # bytes of the largest bag when the kill comes, at most


def data(side, number):
    """The serialised message ``number``: noise, which does not compress."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return bytes(TYPES.serialize_cdr(image(pixels, number), IMAGE_TYPE))


def sides():
    return np.linspace(*SIDES, BAGS).astype(int).tolist()


def write(folder, count=sys.maxsize):
    """Write ``count`` messages to each bag in turn; every second bag is compressed."""
    bags = [
        BagWriter(folder / str(number) / "bag", {"/image": IMAGE_TYPE}, "test", compress=bool(number % 2))
        for number in range(BAGS)
    ]
    for number in range(count):
        for bag, side in zip(bags, sides(), strict=True):
            bag.write("/image", number, data(side, number % MESSAGES))
    for bag in bags:
        bag.close()


def killed(folder, size):
    """Kill a process that writes, when its largest bag has ``size`` bytes."""
    code = f"from pathlib import Path; from {__name__} import write; write(Path({str(folder)!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    largest, deadline = folder / str(BAGS - 1) / "bag/bag.mcap", time.monotonic() + 120
    while not largest.exists() or largest.stat().st_size < size:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.wait()


def read(path, side):
    """How many messages can be read: the first ones, byte for byte; and what is said."""
    count = 0
    with pytest.raises(UserError) as caught:
        (topic,) = image_topics(path)
        for count, (recorded, message) in enumerate(topic.messages(), 1):
            assert recorded == count - 1
            assert bytes(message) == data(side, recorded % MESSAGES)
    assert str(path) in str(caught.value)
    return count, str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_recording_is_refused_or_read_up_to_the_cut(seed, tmp_path):
    write(tmp_path / "whole", 1)
    size = random.Random(seed).randrange(LONGEST) if seed else 0  # the first one as soon as there is a file
    killed(tmp_path / "killed", size)
    counts = []
    for number, side in enumerate(sides()):
        bag = tmp_path / "killed" / str(number) / "bag"
        assert not (bag / "metadata.yaml").exists(), "killed while it recorded"
        count, said = read(bag, side)
        assert count == 0 and "ros2 bag reindex" in said
        alone, _ = read(bag / "bag.mcap", side)
        shutil.copy(tmp_path / "whole" / str(number) / "bag/metadata.yaml", bag)  # as a reindex writes one
        counts.append(alone)
        assert read(bag, side)[0] == alone
    if seed:
        assert counts[-1] > 0
        assert sum(count * side**2 * 3 for count, side in zip(counts, sides(), strict=True)) > size / 2


def test_a_recording_goes_where_a_killed_one_is(tmp_path):
    killed(tmp_path, 0)
    write(tmp_path, 2)
    for number in range(BAGS):
        (topic,) = image_topics(tmp_path / str(number) / "bag")
        assert len(list(topic.messages())) == topic.count == 2
        assert not (tmp_path / str(number) / "bag.reserve").exists()
