"""The cache of converted networks is not believed: what is damaged is made again, and said."""

import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pytest

from test.conftest import tiny_network
from test.engines.test_engines import lively, pictures
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines import open_engine
from vidseg_ros.engines.cache import code_digest, load_sealed, save_sealed
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import CAMVID

CONFIG = EngineConfig("openvino", "cpu", 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vidseg_ros"


MODELS = []  # one conversion for all tests, which are of one network: it takes seconds


@pytest.fixture
def label(folder, monkeypatch):
    """Open an engine of one checkpoint and label a picture; returns the labels."""
    module = pytest.importorskip("vidseg_ros.engines.openvino")
    convert = module.convert

    def converted(step):
        if not MODELS:
            MODELS.append(convert(step))
        return MODELS[0].clone()

    monkeypatch.setattr(module, "convert", converted)
    checkpoint, batch = Checkpoint(lively(tiny_network("L1b")), CAMVID), pictures(1, 64, 96)
    return lambda: open_engine(checkpoint, CONFIG).step(batch, [None])[0].labels


DAMAGES = {
    "the middle third is zero": lambda d: d[: len(d) // 3] + bytes(len(d) // 3) + d[2 * len(d) // 3 :],
    "cut": lambda d: d[: len(d) // 2],
    "one bit": lambda d: d[:-100] + bytes([d[-100] ^ 1]) + d[-99:],
    "empty": lambda d: b"",
    "other content": lambda d: b"<xml/>",
    "longer": lambda d: d + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_made_again_and_said(damage, folder, label, caplog):
    right = label()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(label(), right)
    (record,) = caplog.records
    assert record.getMessage() == f"cached network '{file}' is damaged: its checksum does not fit; it is made again"
    assert load_sealed(file) is not None
    caplog.clear()
    np.testing.assert_array_equal(label(), right)
    assert not caplog.records


def test_an_entry_of_another_content_is_made_again(folder, label):
    """Its checksum fits, and OpenVINO does not read it."""
    right = label()
    (file,) = folder.iterdir()
    for content in (b"", b"x", bytes(8) + b"<net/>", (2**40).to_bytes(8, "little")):
        save_sealed(file, content)
        np.testing.assert_array_equal(label(), right)


def test_onnxruntime_starts_from_its_cache(folder, monkeypatch, caplog):
    module = pytest.importorskip("vidseg_ros.engines.onnxruntime")
    convert = Mock(side_effect=module.to_onnx)
    monkeypatch.setattr(module, "to_onnx", convert)

    def label(count):
        engine = open_engine(Checkpoint(lively(tiny_network(None)), CAMVID), EngineConfig("onnxruntime", "cpu", 1))
        return engine.step(pictures(count, 64, 96), [None] * count)[0].labels

    right = label(1)
    np.testing.assert_array_equal(label(2)[:1], right)
    assert convert.call_count == 1  # for any number of frames
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    np.testing.assert_array_equal(label(1), right)
    assert convert.call_count == 2
    assert "is damaged" in caplog.text


def test_two_at_once_and_another_version(folder, label, monkeypatch):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: label(), range(2))
    np.testing.assert_array_equal(first, second)
    (file,) = folder.iterdir()
    assert load_sealed(file) is not None
    monkeypatch.setattr("vidseg_ros.engines.cache.__version__", "99.0.0")
    np.testing.assert_array_equal(label(), first)
    assert len(list(folder.iterdir())) == 2


def test_other_code_is_another_entry(folder, label, monkeypatch):
    label()
    monkeypatch.setattr("vidseg_ros.engines.cache.code_digest", lambda: "other")
    label()
    assert len(list(folder.iterdir())) == 2


def test_the_code_of_a_step_is_all_that_it_is_made_of(tmp_path):
    for name in ("networks/espnet.py", "flow/deep/warp.py", "engines/step.py", "ros/node.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.write_text("1")
    seen = [code_digest.__wrapped__(tmp_path)]
    for name in ("networks/espnet.py", "flow/deep/warp.py", "engines/step.py"):
        (tmp_path / name).write_text("2")
        seen.append(code_digest.__wrapped__(tmp_path))
    assert len(set(seen)) == 4
    (tmp_path / "ros/node.py").write_text("2")
    assert code_digest.__wrapped__(tmp_path) == seen[-1]
    assert code_digest() == code_digest.__wrapped__() != seen[-1]


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(folder, label, caplog):
    folder.parent.joinpath("vidseg_ros").write_text("in the way")
    right = label()
    folder.unlink()
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    np.testing.assert_array_equal(label(), right)
    if os.getuid():
        assert not list(folder.iterdir())
    assert not caplog.records


def test_what_was_saved_is_loaded(tmp_path):
    assert load_sealed(tmp_path / "nothing") is None
    for data in (b"", b"x" * 1000):
        save_sealed(tmp_path / "some", data)
        assert load_sealed(tmp_path / "some") == data
    assert [file.name for file in tmp_path.iterdir()] == ["some"]
