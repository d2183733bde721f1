"""Files of vidseg export are replayed as checkpoints are."""

import json
import re

import numpy as np
import pytest

from test.conftest import SIZE
from test.replay.conftest import FRAMES, stamps
from test.replay.test_replay import iter_raise, replay, written
from vidseg_ros.engines import open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.export import export
from vidseg_ros.io.bag_reader import image_topics
from vidseg_ros.replay.config import ReplayConfig
from vidseg_ros.replay.job import run_input
from vidseg_ros.stream import FrameStream


def test_a_file_is_compared_with_its_checkpoint(bag, checkpoint, checkpoint_file, drive, tmp_path):
    for need in ("onnxruntime", "onnxscript"):
        pytest.importorskip(need)
    path = tmp_path / "tiny.onnx"
    export(checkpoint, "onnx", path, SIZE, [frame.rgb for frame in drive])
    assert replay(bag, checkpoint_file, tmp_path / "out", "--compare", path, "--labels", "/truth") == 0
    stream = FrameStream(open_model(str(path), EngineConfig(device="cpu", threads=1)))
    (topic,) = image_topics(tmp_path / "out/drive/bag", ["/compare/label"])
    for (_, data), frame, stamp in zip(topic.messages(), drive, stamps(), strict=True):
        labels = stream.step(frame.rgb, stamp)
        np.testing.assert_array_equal(np.reshape(topic.deserialize(data).data, labels.shape), labels)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["compare"]["checkpoint"] == str(path)
    assert metrics["compare"]["miou"] == pytest.approx(metrics["miou"], abs=0.5)


def test_a_killed_run_goes_on_unless_the_weights_beside_the_file_are_others(
    bag, checkpoint, drive, tmp_path, monkeypatch
):
    pytest.importorskip("openvino")
    monkeypatch.setattr("vidseg_ros.replay.journal.SNAPSHOT_EVERY", 4)
    export(checkpoint, "openvino", tmp_path / "tiny.xml", SIZE, [frame.rgb for frame in drive])
    text = (tmp_path / "tiny.xml").read_text()  # of an older version: without the checksum, which would refuse
    (tmp_path / "tiny.xml").write_text(re.sub(r"<sha256 value=\S+ ?/>", "", text))
    config = ReplayConfig(str(tmp_path / "tiny.xml"), topics=("/front/image_raw",))
    run_input(bag, tmp_path / "whole", config)
    steps, segment = [], FrameStream.segment
    monkeypatch.setattr(FrameStream, "segment", lambda self, frame: steps.append(frame) or segment(self, frame))

    def killed_and_gone_on(name, meanwhile=lambda: None):
        with pytest.raises(KeyboardInterrupt):
            run_input(bag, tmp_path / name, config, iter_raise(7))
        meanwhile()
        steps.clear()
        run_input(bag, tmp_path / name, config)
        return len(steps)

    def train_on():
        weights = bytearray((tmp_path / "tiny.bin").read_bytes())
        weights[len(weights) // 2] ^= 1
        (tmp_path / "new.bin").write_bytes(weights)
        (tmp_path / "new.bin").replace(tmp_path / "tiny.bin")

    assert killed_and_gone_on("killed") == FRAMES - 8
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    assert killed_and_gone_on("other", train_on) == FRAMES
