"""Files from strangers: nothing in them runs, nothing outside is read, and no memory is taken on their word alone."""

import io
import json
import os
import pickle
import resource
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch

from test.fuzz.drawing import refusing
from test.io.making import image, write_bag
from test.io.test_videos import write_video
from vidseg_ros import LARGEST_PICTURE
from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.cli.main import main
from vidseg_ros.engines import open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError
from vidseg_ros.io import videos
from vidseg_ros.io.images import decode_picture, decode_rgb
from vidseg_ros.io.label_images import decode_label_png
from vidseg_ros.io.recordings import open_recordings

PIXELS = np.zeros((16, 24, 3), np.uint8)


def load_unsafely(data):
    torch.load(io.BytesIO(data), weights_only=False)


LOADED = (".pkl", ".pth", ".safetensors", ".pt2", ".onnx", ".xml", ".bin", ".trt", ".ckpt", "")


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


DUMPS = {
    "pickle": lambda canary, path: path.write_bytes(pickle.dumps(canary, 2)),
    "torch": torch.save,
    "torch of before": lambda canary, path: torch.save(canary, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("suffix", LOADED)
@pytest.mark.parametrize("dump", sorted(DUMPS))
def test_no_load_path_unpickles(dump, suffix, tmp_path):
    mark, path = tmp_path / "mark", tmp_path / f"canary{suffix}"
    DUMPS[dump](Canary(mark), path)
    loaders = (
        lambda: open_model(str(path), EngineConfig(device="cpu")),
        lambda: import_weights(path),
        lambda: open_recordings(path),
    )
    for load in loaders:
        with pytest.raises(UserError):
            load()
    for command in (["evaluate", str(path), str(tmp_path)], ["average", str(path), str(tmp_path / "o.safetensors")],
                    ["replay", str(tmp_path), "--checkpoint", str(path), "--output", str(tmp_path / "o")],
                    ["pseudo-label", str(tmp_path), "--teacher", str(path), "--output", str(tmp_path / "o")],
                    ["train", str(path), str(tmp_path / "o.safetensors"), "--weights", str(path)]):  # fmt: skip
        assert main(command) == 2
    assert not mark.exists()
    (pickle.loads if dump == "pickle" else load_unsafely)(path.read_bytes())
    assert mark.exists(), "the canary sings"


def test_a_state_of_training_is_tensors_and_plain_data_only(tmp_path):
    """``state.ckpt`` of a run that somebody else sent; Lightning is told to load weights only."""
    from lightning.fabric.plugins import TorchCheckpointIO  # noqa: PLC0415

    from vidseg_ros.training.run import WholeFiles  # noqa: PLC0415

    mark = tmp_path / "mark"
    torch.save({"state_dict": Canary(mark)}, tmp_path / "state.ckpt")
    assert issubclass(WholeFiles, TorchCheckpointIO)
    with pytest.raises(Exception, match=r"(?i)weights_only|unsupported|cannot read"):
        WholeFiles().load_checkpoint(tmp_path / "state.ckpt")
    assert not mark.exists()


def test_external_data_of_onnx_is_not_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(16))
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=str(secret))
    value = onnx.helper.make_tensor_value_info("y", 1, [4])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["w"], ["y"])], "g", [], [value], [tensor])
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(UserError, match=r"cannot read|does not name its labels"):
        open_model(str(path), EngineConfig(device="cpu"))


@pytest.mark.parametrize("name", ["../outside.mcap", "/etc/passwd", "../../etc/passwd"])
def test_a_bag_reads_no_file_outside_its_folder(name, tmp_path):
    write_bag(tmp_path / "outside", {"/image": [(0, image(PIXELS, 0))]})
    (tmp_path / "outside" / "outside.mcap").rename(tmp_path / "outside.mcap")
    bag = write_bag(tmp_path / "bag", {"/image": [(0, image(PIXELS, 0))]})
    (bag / "bag.mcap").unlink()
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(text.replace("bag.mcap", name))
    with pytest.raises(UserError, match="cannot read bag"):
        list(open_recordings(bag)[0].frames())


def test_topics_and_cameras_are_no_paths(tmp_path, checkpoint_file):
    topics = {"/../../up/image": [(n, image(PIXELS, n * 10**8)) for n in range(2)], "/a/image": [(0, image(PIXELS, 0))]}
    bag = write_bag(tmp_path / "bag", topics)
    command = [
        "replay",
        str(bag),
        "--checkpoint",
        str(checkpoint_file),
        "--output",
        str(tmp_path / "out"),
        "--threads",
        "1",
    ]
    assert main([*command, "--topic", "/../../up/image", "--topic", "/a/image"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"bag", "out", checkpoint_file.name}


def png_header(width, height, kind=2):
    """A PNG file that claims a size and holds a few bytes."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)), (b"IDAT", zlib.compress(b"0" * 64)),
              (b"IEND", b"")]  # fmt: skip
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_header(width, height):
    """A JPEG file of 16x16 that claims another size."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data", [png_header(30000, 30000), png_header(2**31 - 1, 2**31 - 1), jpeg_header(65000, 65000)]
)
def test_a_picture_that_claims_to_be_huge_takes_no_memory(data):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode_rgb(data) is None
    assert decode_picture(data) is None
    with pytest.raises(UserError):
        decode_label_png(data, "here")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_a_video_of_huge_pictures_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "film.mp4", times=[0, 100])
    assert len(list(open_recordings(path)[0].frames())) == 2
    monkeypatch.setattr(videos, "LARGEST_PICTURE", 64 * 48 - 1)
    with pytest.raises(UserError, match="holds no video that FFmpeg can read"):
        open_recordings(path)


def test_the_largest_picture_of_a_camera_is_read():
    assert LARGEST_PICTURE > 9568 * 6380
    assert decode_rgb(cv2.imencode(".png", np.zeros((64, 16000), np.uint8))[1].tobytes()).shape == (64, 16000, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"p": 10**9}, {"q": 10**12}, {"decoder_channels": 10**9}, {"input": {"size": [10**9, 10**9]}},
        {"cell": {"state_size": [10**6, 10**6]}}, {"cell": {"kernel": 10**9 + 1}}, {"classes": 200},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_that_promises_a_huge_network_takes_no_memory(change, checkpoint_file):
    from safetensors import safe_open  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    from vidseg_ros.checkpoints.checkpoint import METADATA_KEY, load_checkpoint  # noqa: PLC0415

    with safe_open(checkpoint_file, framework="pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    for key, value in change.items():
        header["network"][key] = header["network"][key] | value if isinstance(value, dict) else value
    save_file(tensors, checkpoint_file, {METADATA_KEY: json.dumps(header)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with refusing():
        load_checkpoint(checkpoint_file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


def test_a_report_escapes_all_names(tmp_path, checkpoint_file):
    evil = "<script>alert(1)"
    folder = tmp_path / evil
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", PIXELS)[1].tobytes())
    (folder / "<b>.png").write_bytes(b"no picture")
    checkpoint = checkpoint_file.rename(tmp_path / "<i>.safetensors")
    command = ["replay", str(folder), "--checkpoint", str(checkpoint), "--compare", str(checkpoint), "--threads", "1"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    for page in ("report.html", "latency.html"):
        text = (tmp_path / "out" / page).read_text()
        assert "<script" not in text and "<b>" not in text and "<i>" not in text
    assert "&lt;script&gt;" in (tmp_path / "out/report.html").read_text()
