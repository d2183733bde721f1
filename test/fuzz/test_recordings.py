"""Bags, videos and folders, whole and damaged: frames, bad frames, or one line."""

from itertools import islice

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st

from test.fuzz.drawing import damages, fuzz, refusing
from test.io.making import compressed, image, write_bag
from test.io.test_videos import write_video
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.images import decode_picture, decode_rgb
from vidseg_ros.io.recordings import open_recordings
from vidseg_ros.labels import CAMVID
from vidseg_ros.replay.ground_truth import Reading, open_truth

MOST = 12  # frames that are read of a damaged recording, which may promise any number
PIXELS = np.random.default_rng(0).integers(0, 11, (16, 24, 3), dtype=np.uint8)
FILES = {suffix: cv2.imencode(suffix, PIXELS)[1].tobytes() for suffix in (".png", ".jpg")}
VIDEOS = [("a.avi", "mjpeg"), ("a.mkv", "mpeg4"), ("a.mp4", "mpeg4"), ("a.webm", "libvpx")]


def read(path, topics=(), labels=""):
    """Read a recording as a replay does: its rate, its names, its frames and their labels."""
    with refusing():
        for recording in open_recordings(path, topics):
            assert 0 < recording.fps < float("inf") and recording.count >= 0
            with refusing():
                list(islice(recording.names(), MOST))
            truth = None
            with refusing():
                truth = open_truth(labels, recording, Reading(CAMVID, CAMVID))
            for frame in islice(recording.frames(), MOST):
                assert isinstance(frame, BadFrame) or (isinstance(frame, Frame) and frame.rgb.dtype == np.uint8)
                if truth is not None and isinstance(frame, Frame):
                    with refusing():
                        truth.of(frame)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Bags of every storage, with an image topic, labels beside it, and a camera that compresses."""
    folder = tmp_path_factory.mktemp("bags")
    topics = {
        "/image": [(n, image(PIXELS, n * 10**8)) for n in range(4)],
        "/labels": [(n, image(PIXELS[..., 0], n * 10**8, "mono8")) for n in range(4)],
        "/front/compressed": [(n, compressed(FILES[".png"], n * 10**8)) for n in range(2)],
    }
    kinds = {
        "mcap": ("mcap", None),
        "zstd": ("mcap", "storage"),
        "db3": ("sqlite3", None),
        "db3z": ("sqlite3", "message"),
    }
    return {name: write_bag(folder / name, topics, *how) for name, how in kinds.items()}


@fuzz(
    kind=st.sampled_from(["mcap", "zstd", "db3", "db3z"]),
    where=st.integers(0, 1),
    damage=damages(),
    topic=st.integers(0, 2),
)
def test_damaged_bags(bags, tmp_path_factory, kind, where, damage, topic):
    folder = tmp_path_factory.getbasetemp() / "damaged_bag"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    files = sorted(bags[kind].iterdir(), key=lambda file: file.name == "metadata.yaml")
    for number, file in enumerate(files):
        data = file.read_bytes()
        (folder / file.name).write_bytes(damage(data) if number == where else data)
    topics = [["/image"], ["/image", "/front/compressed"], ["/labels"]][topic]
    read(folder, topics, "/labels")


@fuzz(share=0.5, damage=damages())
def test_damaged_files_of_bags(bags, tmp_path_factory, damage):
    path = tmp_path_factory.getbasetemp() / "alone.mcap"
    path.write_bytes(damage((bags["mcap"] / "mcap.mcap").read_bytes()))
    read(path, ["/image"], "/labels")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return {name: write_video(folder / name, codec, range(0, 600, 100)).read_bytes() for name, codec in VIDEOS}


@fuzz(name=st.sampled_from([name for name, _ in VIDEOS]), damage=damages())
def test_damaged_videos(videos, tmp_path_factory, name, damage):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(damage(videos[name]))
    read(path)


NAMES = st.sampled_from([
    "1.png", "2.PNG", "10.jpg", "._1.png", ".hidden.png", "a_00030.png", "a_00060.jpeg", "b.txt", "scene.json",
    "metadata.yaml", "x.mcap", "y.db3", "1_leftImg8bit.png", "\udce9.png", "a b.png", "<b>.png", "9" * 30 + ".png",
])  # fmt: skip
KINDS = st.sampled_from(["file", "file", "file", "garbage", "empty", "folder", "dead link", "loop", "link to itself"])


def put(path, kind, data):
    """Put something at the path, if nothing is there."""
    if path.is_symlink() or path.exists():
        return
    if kind == "folder":
        path.mkdir()
    elif kind == "dead link":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "loop":
        path.symlink_to(path.parent)
    elif kind == "link to itself":
        path.symlink_to(path)
    else:
        path.write_bytes({"file": data, "garbage": b"\x89PNG" + data[::-1], "empty": b""}[kind])


@fuzz(
    things=st.lists(st.tuples(st.sampled_from(["", "frames", "labels", "rgb"]), NAMES, KINDS), max_size=8),
    place=st.sampled_from(["flat", "scene", "leftImg8bit"]),
)
def test_strange_folders(tmp_path_factory, things, place):
    top = tmp_path_factory.mktemp("folder")
    folder = {"flat": top, "scene": top / "scene", "leftImg8bit": top / "leftImg8bit" / "val" / "city"}[place]
    for inner, name, kind in things:
        (folder / inner).mkdir(parents=True, exist_ok=True)
        content = (
            b'{"fps": 17.0, "labels": "camvid"}' if name == "scene.json" else FILES[".jpg" if "j" in name else ".png"]
        )
        put(folder / inner / name, kind, content)
    for path in (top, folder, folder / "frames"):
        read(path, labels=str(folder / "labels"))
        with refusing():
            for frame in open_dataset(str(path), CAMVID):
                with refusing():
                    frame.read()


@fuzz(share=2.0, suffix=st.sampled_from(sorted(FILES)), damage=damages())
def test_damaged_pictures(suffix, damage):
    for decode in (decode_picture, decode_rgb):
        pixels = decode(damage(FILES[suffix]))
        assert pixels is None or pixels.size
