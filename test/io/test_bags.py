import errno
import tracemalloc

import lz4.frame
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import zstd

from test.io.making import TIME, compressed, header, image, write_bag
from vidseg_ros.errors import UserError
from vidseg_ros.io import bag_writer as writer_module
from vidseg_ros.io import unpacking
from vidseg_ros.io.bag_reader import IMAGE_TYPE, TYPES, image_topics, is_bag
from vidseg_ros.io.bag_writer import BagWriter
from vidseg_ros.io.image_messages import find_decoder, image_to_rgb
from vidseg_ros.io.recordings import open_recordings

STAMPS = [10**9 + i * 10**8 for i in range(3)]


def picture(seed=0, size=(4, 6)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def camera(encoding="rgb8"):
    return [(stamp + 5, image(picture(i), stamp, encoding)) for i, stamp in enumerate(STAMPS)]


@pytest.mark.parametrize(
    ("storage", "compression"),
    [("mcap", None), ("mcap", "storage"), ("sqlite3", None), ("sqlite3", "message"), ("sqlite3", "file")],
)
def test_every_kind_of_bag_gives_the_messages(tmp_path, storage, compression):
    path = write_bag(tmp_path / "bag", {"/image": camera()}, storage, compression)
    assert is_bag(path)
    (topic,) = image_topics(path)
    assert (topic.topic, topic.count, topic.compressed) == ("/image", 3, False)
    for _ in range(2):  # it can be read again
        read = [(recorded, topic.deserialize(data)) for recorded, data in topic.messages()]
        assert [recorded - 5 for recorded, _ in read] == STAMPS
        for number, (_, message) in enumerate(read):
            np.testing.assert_array_equal(image_to_rgb(message, find_decoder()), picture(number))


def test_no_image_topic_lists_what_there_is(tmp_path):
    path = write_bag(tmp_path / "bag", {"/clock": [(0, TIME(0, 0))], "/head": [(0, header(0))]})
    with pytest.raises(UserError, match=r"no image topic.*/clock \(builtin_interfaces/msg/Time\), /head"):
        image_topics(path)


def test_two_image_topics_must_be_named(tmp_path):
    path = write_bag(tmp_path / "bag", {"/left": camera(), "/right": [(9, compressed(b"x", 9))]})
    with pytest.raises(UserError, match=r"2 image topics; name one with --topic \(here: /left, /right\)"):
        image_topics(path)
    with pytest.raises(UserError, match="no image topic '/up'"):
        image_topics(path, ["/left", "/up"])
    right, left = image_topics(path, ["/right", "/left"])
    assert (right.compressed, left.compressed, right.count, left.count) == (True, False, 1, 3)


def test_a_truncated_bag_is_one_line(tmp_path):
    path = write_bag(tmp_path / "bag", {"/image": camera()})
    (file,) = path.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match=f"cannot read bag '{path}'.*ros2 bag reindex"):
        [None for topic in image_topics(path) for _ in topic.messages()]


def test_a_bag_without_metadata_is_one_line(tmp_path):
    path = write_bag(tmp_path / "bag", {"/image": camera()})
    (path / "metadata.yaml").unlink()
    assert is_bag(path)
    with pytest.raises(UserError, match=r"metadata.*ros2 bag reindex"):
        image_topics(path)


def test_an_unknown_message_type_beside_the_images_does_not_matter(tmp_path):
    path = write_bag(tmp_path / "bag", {"/image": camera(), "/other": [(0, TIME(0, 0))]})
    text = (path / "metadata.yaml").read_text()
    (path / "metadata.yaml").write_text(text.replace("builtin_interfaces/msg/Time", "robot_msgs/msg/Secret"))
    (topic,) = image_topics(path)
    assert len(list(topic.messages())) == 3
    with pytest.raises(UserError, match="no image topic '/other'"):
        image_topics(path, ["/other"])


def test_a_damaged_message_is_one_line(tmp_path):
    (topic,) = image_topics(write_bag(tmp_path / "bag", {"/image": camera()}))
    with pytest.raises(UserError, match="damaged"):
        topic.deserialize(next(topic.messages())[1][:30])


def record(path, count):
    """Write images of 100 KB until the disk is full; returns how many went in."""
    data = TYPES.serialize_cdr(image(picture(size=(180, 190)), 0), IMAGE_TYPE)
    with BagWriter(path, {"/image": IMAGE_TYPE}, "test") as bag:
        for number in range(count):
            bag.write("/image", number, data)
    return data


class Disk:
    """A file on a disk of limited size, where the reserve takes its room."""

    def __init__(self, file, reserve, room):
        self._file, self._reserve, self._room = file, reserve, room

    def write(self, data):
        free = self._room + (0 if self._reserve.exists() else writer_module.RESERVE) - self._file.tell()
        self._file.write(data[: max(free, 0)])
        if len(data) > free:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_full_disk_leaves_a_readable_bag(tmp_path, monkeypatch):
    path, init = tmp_path / "bag", writer_module.Writer.open

    def open_on_small_disk(self):
        init(self)
        self.storage.bio = Disk(self.storage.bio, tmp_path / "bag.reserve", 2_500_000)

    monkeypatch.setattr(writer_module.Writer, "open", open_on_small_disk)
    with pytest.raises(UserError, match=r"No space left.*can be read"):
        record(path, 100)
    (topic,) = image_topics(path)
    messages = list(topic.messages())
    assert topic.count == len(messages) - 1  # rosbags does not count the message whose chunk did not fit at once
    assert 20 < len(messages) < 40  # what fits, and the chunk that the reserve made room for
    assert not (tmp_path / "bag.reserve").exists()


def test_an_error_while_writing_leaves_a_readable_bag(tmp_path):
    with pytest.raises(KeyboardInterrupt), BagWriter(tmp_path / "bag", {"/image": IMAGE_TYPE}, "test") as bag:
        bag.write("/image", 7, TYPES.serialize_cdr(image(picture(), 7), IMAGE_TYPE))
        raise KeyboardInterrupt
    (topic,) = image_topics(tmp_path / "bag")
    assert len(list(topic.messages())) == 1


def test_only_own_bags_are_replaced(tmp_path):
    record(tmp_path / "bag", 2)
    record(tmp_path / "bag", 3)
    assert image_topics(tmp_path / "bag")[0].count == 3
    write_bag(tmp_path / "foreign", {"/image": camera()})
    with pytest.raises(UserError, match="not written by this command"):
        record(tmp_path / "foreign", 1)


def test_the_same_messages_make_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        record(tmp_path / name / "bag", 30)
    for file in ("bag.mcap", "metadata.yaml"):
        assert (tmp_path / "a/bag" / file).read_bytes() == (tmp_path / "b/bag" / file).read_bytes()


def cut(path, share, target=None):
    """Cut the MCAP file of a bag, or copy it cut."""
    (file,) = path.glob("*.mcap")
    data = file.read_bytes()
    (target or file).write_bytes(data[: round(share * len(data))])
    return target or path


def readable(path):
    """Return how many messages of the only topic can be read, and what is said at the end."""
    (topic,) = image_topics(path)
    read = []
    with pytest.raises(UserError) as caught:
        read.extend(recorded for recorded, _ in topic.messages())
    assert topic.count == len(read)
    return read, str(caught.value)


@pytest.mark.parametrize("compression", [None, "storage"])
def test_a_cut_mcap_file_is_read_up_to_the_cut(compression, tmp_path):
    """Nothing of it was read, for its index stands at the end."""
    frames = [(number, image(picture(number, (180, 190)), number)) for number in range(60)]
    path = write_bag(tmp_path / "bag", {"/image": frames, "/clock": [(5, TIME(0, 0))]}, compression=compression)
    single = cut(path, 0.6, tmp_path / "alone.mcap")
    for bag in (single, cut(path, 0.6)):
        read, said = readable(bag)
        assert 10 < len(read) < 50 and read == list(range(len(read)))
        assert f"cannot read bag '{bag}'" in said and "File end magic is invalid" in said


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01])
def test_a_cut_mcap_file_without_a_message_is_one_line(share, tmp_path):
    frames = [(number, image(picture(number, (180, 190)), number)) for number in range(60)]
    path = cut(write_bag(tmp_path / "bag", {"/image": frames}), share)
    with pytest.raises(UserError, match=f"cannot read bag '{path}'"):
        image_topics(path)


BOMB = 2**26  # bytes that some kilobytes unpack to
LIMIT = 2**20


def write_bomb(path, kind):
    """Frames in a chunk, or each for itself, that unpack to BOMB bytes; the header of the chunk says what it held."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    mode = CompressionMode.MESSAGE if kind == "message" else CompressionMode.STORAGE
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/image", IMAGE_TYPE, typestore=TYPES)
        data = TYPES.serialize_cdr(image(picture(), 0), IMAGE_TYPE)
        if kind == "message":
            data = bytes(BOMB)
        else:
            packed = (lz4.frame if kind == "lz4" else zstd).compress(bytes(BOMB))
            writer.storage.compression, writer.storage.compressor = kind, lambda _: packed
        writer.write(connection, 0, data)
    return path


def peak(path):
    """Read a bag that is refused; returns the memory that it took, bytes, and what was said."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            [None for topic in image_topics(path) for _ in topic.messages()]
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "whole"), [("zstd", True), ("zstd", False), ("lz4", True), ("lz4", False), ("message", True)]
)
def test_what_unpacks_to_more_than_it_says_takes_no_memory(kind, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "LARGEST_PART", LIMIT)
    path = write_bomb(tmp_path / "bag", kind)
    if not whole:  # it is read without its index then
        (file,) = path.glob("*.mcap")
        file.write_bytes(file.read_bytes()[:-10])
    taken, said = peak(path)
    assert taken < BOMB / 4
    assert said.startswith(f"cannot read bag '{path}': ") and "\n" not in said


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_chunk_that_claims_to_be_huge_is_not_unpacked(compression, tmp_path, monkeypatch):
    path = write_bomb(tmp_path / "bag", compression)
    (file,) = path.glob("*.mcap")
    data = file.read_bytes()
    held = data[8:].split(bytes([6]), 1)[1][8 + 16 : 8 + 24]  # behind its length and the times of its messages
    assert data.count(held) == 2  # in the header of the chunk, and in the index
    file.write_bytes(data.replace(held, (2**40).to_bytes(8, "little")))
    taken, said = peak(path)
    assert taken < BOMB / 4
    most = "a part of it claims to unpack to more than 1073741824 bytes"
    assert said == f"cannot read bag '{path}': {most}; record it again, in smaller chunks"


def test_an_empty_storage_id_is_answered_by_what_mends_it(tmp_path):
    """ "Try reindex" was the answer: that is what leaves it empty."""
    path = write_bag(tmp_path / "bag", {"/image": camera()})
    text = (path / "metadata.yaml").read_text()
    (path / "metadata.yaml").write_text(text.replace("storage_identifier: mcap", "storage_identifier: ''"))
    (topic,) = image_topics(path)
    with pytest.raises(UserError, match=rf"names no storage.*run 'ros2 bag reindex -s mcap {path}'"):
        list(topic.messages())


def test_a_ros_1_bag_is_called_one(tmp_path):
    (tmp_path / "drive.bag").write_bytes(b"#ROSBAG V2.0\n" + bytes(100))
    with pytest.raises(UserError, match=r"drive.bag' is a ROS 1 bag; convert it: rosbags-convert --src .*drive.bag"):
        open_recordings(tmp_path / "drive.bag")
