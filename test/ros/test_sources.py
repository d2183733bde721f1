"""What the demo plays: one rule for all sources, what cannot be read is counted and skipped."""

import cv2
import pytest
from rclpy.serialization import serialize_message

from test.io.test_videos import damage
from test.io.test_videos import write_video as write_film
from test.ros.conftest import header, picture
from vidseg_ros.io.bag_reader import IMAGE_TYPE
from vidseg_ros.io.bag_writer import BagWriter
from vidseg_ros.ros.conversions import nanoseconds, to_image
from vidseg_ros.ros.harness.sources import open_messages


def write_bag(path):
    """A bag of four images, the second of which is cut."""
    with BagWriter(path, {"/image": IMAGE_TYPE}, "test") as bag:
        for number in range(4):
            data = serialize_message(to_image(picture(seed=number), "rgb8", header(number / 10)))
            bag.write("/image", number, data[: 40 if number == 1 else None])
    return path


def write_folder(path):
    """Four images, the second of which is cut."""
    path.mkdir()
    for number in range(4):
        cv2.imwrite(str(path / f"{number}.png"), picture(seed=number))
    (path / "1.png").write_bytes((path / "1.png").read_bytes()[:50])
    return path


def write_video(path):
    """Four pictures, the second of which is damaged."""
    return damage(write_film(path.with_suffix(".avi"), "mjpeg", times=range(0, 400, 100)), 1)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (write_bag, "a message of '/image' is damaged"),
        (write_folder, "1.png'; it is missing or damaged"),
        (write_video, "frame 1 of video"),
    ],
)
def test_what_cannot_be_read_is_counted_and_skipped(write, said, tmp_path, capfd):
    skipped = []
    messages = list(open_messages(write(tmp_path / "input"), 10.0, "", skipped).messages)
    assert [round(nanoseconds(message) / 1e8) for message in messages] == [0, 2, 3]
    assert len(skipped) == 1 and said in str(skipped[0])
    assert capfd.readouterr() == ("", "")
