import contextlib
import errno
import gc
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from test.conftest import CPU, SIZE, tiny_network
from vidseg_ros.benchmark import pictures
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.engines import TorchEngine, open_model
from vidseg_ros.engines import export as module
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.export import export
from vidseg_ros.engines.registry import FORMATS
from vidseg_ros.engines.registry import RUNTIMES as ENGINES
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")
core = pytest.importorskip("vidseg_ros.engines.openvino").core

CPU_PROVIDER, TENSORRT = "CPUExecutionProvider", "TensorrtExecutionProvider"


def drive(count=6):
    return list(np.random.default_rng(0).integers(0, 256, (count, SIZE[1], SIZE[0], 3), dtype=np.uint8))


@pytest.fixture
def tensorrt(monkeypatch):
    """A TensorRT that plans nothing: its files are the models as they are, on the CPU. Returns what it was told."""
    told, real = [], onnxruntime.InferenceSession

    def session(model, options=None, providers=(CPU_PROVIDER,)):
        name, settings = providers[0] if isinstance(providers[0], tuple) else (providers[0], {})
        if name != TENSORRT:
            return real(model, options, providers=providers)
        told.append(settings)
        with contextlib.suppress(RuntimeError):  # where nothing is to be planned
            Path(options.get_session_config_entry("ep.context_file_path")).write_bytes(model)
        return real(model, providers=[CPU_PROVIDER])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CPU_PROVIDER])
    return told


@pytest.mark.parametrize("position", [None, "L1b"])
@pytest.mark.parametrize("kind", FORMATS)
def test_exported_files_run_alone(kind, position, tmp_path, tensorrt):
    """Read the file with its runtime and nothing of this package, two streams at once."""
    checkpoint = Checkpoint(tiny_network(position), CAMVID)
    path = tmp_path / f"x{ENGINES[FORMATS[kind]].suffix}"
    parity = export(checkpoint, kind, path, SIZE, drive())
    assert parity.agreement > 99.9
    assert parity.difference < 1e-3
    frames = np.stack(drive(2))
    shape = (2, 11, SIZE[1] // 8, SIZE[0] // 8)
    state = [np.full(shape, 7, np.float32)] * 2 if position else []
    feed = [frames, np.array([True, True]), *state]
    labels, confidence, *_ = RUNTIMES[kind](path, feed)
    with torch.inference_mode():
        logits, _ = tiny_network(position)(torch.from_numpy(frames).permute(0, 3, 1, 2))
    assert np.mean(labels == logits.argmax(1).numpy()) > 0.999
    assert abs(confidence / 255 - logits.softmax(1).amax(1).numpy()).max() < 0.01


def with_onnx(path, feed):
    session = onnxruntime.InferenceSession(str(path))
    inputs = [item.name for item in session.get_inputs()]
    assert inputs[:2] == ["frames", "fresh"]
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["labels"])["name"] == "camvid"
    return session.run(None, dict(zip(inputs, feed, strict=True)))


def with_openvino(path, feed):
    compiled = core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert [next(iter(port.names)) for port in compiled.inputs][:2] == ["frames", "fresh"]
    results = compiled(feed)
    return [results[i] for i in range(len(results))]


def with_torch(path, feed):
    module = torch.export.load(path).module()
    return [t.numpy() for t in module(*(torch.from_numpy(a) for a in feed))]


RUNTIMES = {"onnx": with_onnx, "openvino": with_openvino, "tensorrt": with_onnx, "torch-export": with_torch}


def test_tensorrt_plans_for_batches_and_is_read_with_its_provider(tmp_path, tensorrt):
    path = tmp_path / "x.trt"
    export(Checkpoint(tiny_network(), CAMVID), "tensorrt", path, SIZE, drive(), config=EngineConfig(hysteresis=0.5))
    (planned,) = tensorrt
    state = "11x8x12"
    for which, batch in (("min", 1), ("opt", 1), ("max", 8)):
        shapes = (
            f"frames:{batch}x64x96x3,fresh:{batch},hidden:{batch}x{state},cell:{batch}x{state},last:{batch}x4x32x48"
        )
        assert planned[f"trt_profile_{which}_shapes"] == shapes
    engine = open_model(str(path), EngineConfig(device="cuda:1", precision="f16"))
    assert (tensorrt[1]["device_id"], tensorrt[1]["trt_fp16_enable"]) == (1, True)
    assert engine.step(np.stack(drive(2)), [None, None])[0].labels.shape == (2, 64, 96)
    with pytest.raises(UserError, match="engine 'tensorrt' does not run with device 'cpu'; use one of cuda"):
        open_model(str(path), EngineConfig(device="cpu"))


def test_without_tensorrt_one_line(checkpoint_file, tmp_path, capsys):
    words = ["export", str(checkpoint_file), str(tmp_path / "x.trt"), "--format", "tensorrt"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert (
        "engine 'tensorrt' needs an ONNX Runtime with TensorrtExecutionProvider; pip install onnxruntime-gpu" in error
    )
    (tmp_path / "x.trt").write_bytes(b"plan")
    with pytest.raises(UserError, match="needs an ONNX Runtime with TensorrtExecutionProvider"):
        open_model(str(tmp_path / "x.trt"), EngineConfig())


def test_closed_engines_hold_nothing(checkpoint_file, tmp_path):
    """Neither sessions nor models: a node that reopens its engine would hold both."""
    path = tmp_path / "x.onnx"
    export(load_checkpoint(checkpoint_file), "onnx", path, SIZE, drive())
    for name in (str(path), str(checkpoint_file)):
        engine = open_model(name, EngineConfig("auto" if name.endswith("onnx") else "openvino", "cpu"))
        engine.step(drive(1)[0][None], [None])
        models = [engine.model] if name.endswith("onnx") else engine._models.values()
        (held,) = (weakref.ref(model) for model in models)
        del models
        engine.close()
        engine.close()
        gc.collect()
        assert held() is None


def test_nothing_is_written_that_does_not_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_compare", lambda *_: module.Parity(99.0, 0.5))
    path = tmp_path / "x.pt2"
    with pytest.raises(UserError, match=r"only 99.000 % of the labels agree with PyTorch, and 99.9 % must"):
        export(Checkpoint(tiny_network(), CAMVID), "torch-export", path, SIZE, drive())
    assert not path.exists()


def test_the_verb(checkpoint_file, tmp_path, capsys):
    path = tmp_path / "x.onnx"
    assert main(["export", str(checkpoint_file), str(path), "--format", "onnx", "--hysteresis", "0.5"]) == 0
    inputs = [item.name for item in onnxruntime.InferenceSession(path).get_inputs()]
    assert inputs == ["frames", "fresh", "hidden", "cell", "last"]
    assert "% of the labels as in PyTorch" in " ".join(capsys.readouterr().out.split())
    assert path.is_file()
    assert main(["export", str(checkpoint_file), str(tmp_path / "x.bin"), "--format", "onnx"]) == 2
    error = capsys.readouterr().err
    assert error == f"vidseg export: '{tmp_path}/x.bin' does not end in .onnx; name it {tmp_path}/x.onnx\n"


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_weights_damaged_at_equal_length_are_refused(kind, tmp_path):
    path = tmp_path / f"x{ENGINES[FORMATS[kind]].suffix}"
    export(Checkpoint(tiny_network(), CAMVID), kind, path, SIZE, drive())
    heavy = path.with_suffix(".bin") if kind == "openvino" else path
    data = bytearray(heavy.read_bytes())
    place = len(data) // 2  # of either file most are weights
    data[place : place + 8] = bytes(8)
    heavy.write_bytes(data)
    with pytest.raises(UserError, match=rf"'{path}' is damaged: its checksum does not fit; copy it again, or, where"):
        open_model(str(path), EngineConfig(device="cpu"))


@pytest.mark.parametrize("position", [None, "L1b"])
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_exported_files_are_models(kind, position, tmp_path):
    """The same answers as the checkpoint's, for two streams of which one begins anew; with and without confidence."""
    checkpoint = Checkpoint(tiny_network(position), CAMVID)
    path = tmp_path / f"x{ENGINES[FORMATS[kind]].suffix}"
    export(checkpoint, kind, path, SIZE, drive())
    engine, eager = open_model(str(path), EngineConfig(device="cpu", threads=1)), TorchEngine(checkpoint, CPU)
    assert engine.labels == CAMVID
    assert engine.input_size == SIZE
    mine, theirs = [None, None], [None, None]
    for number, frames in enumerate(zip(drive(), drive()[::-1], strict=True)):
        if number == 3:
            mine[1] = theirs[1] = None
        answer, mine = engine.step(np.stack(frames), mine, confidence=number % 2 == 0)
        expected, theirs = eager.step(np.stack(frames), theirs, confidence=number % 2 == 0)
        assert np.mean(answer.labels == expected.labels) > 0.999
        if number % 2 == 0:
            assert abs(answer.confidence.astype(int) - expected.confidence).max() <= 1
        else:
            assert answer.confidence is None


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_files_that_cannot_be_used(kind, tmp_path):
    path = tmp_path / f"x{ENGINES[FORMATS[kind]].suffix}"
    export(Checkpoint(tiny_network(), CAMVID), kind, path, SIZE, drive())
    engine = open_model(str(path), EngineConfig(device="cpu"))
    with pytest.raises(UserError, match=r"takes frames of 96x64, not 64x64; export another with --size 64x64"):
        engine.step(np.zeros((1, 64, 64, 3), np.uint8), [None])
    with pytest.raises(UserError, match=rf"engine 'torch' does not run '{path}'; use (onnxruntime|openvino) or auto"):
        open_model(str(path), EngineConfig("torch"))
    with pytest.raises(UserError, match=r"hysteresis is 0.5, and .* has its own; give it to the checkpoint"):
        open_model(str(path), EngineConfig(hysteresis=0.5))
    path.write_bytes(b"<net>garbage")
    with pytest.raises(UserError, match=r"cannot read '.*' \(.*\); export it again"):
        open_model(str(path), EngineConfig())
    with pytest.raises(UserError, match=r"model '.*' does not exist; write it with: vidseg export"):
        open_model(str(path.with_stem("y")), EngineConfig())


def test_files_of_others(tmp_path):
    """A network that this package did not export."""
    path = tmp_path / "other.onnx"
    torch.onnx.export(torch.nn.ReLU().eval(), (torch.zeros(1),), path, dynamo=True, verbose=False)
    openvino.save_model(openvino.convert_model(torch.nn.ReLU(), example_input=torch.zeros(1)), path.with_suffix(".xml"))
    for file in (path, path.with_suffix(".xml")):
        with pytest.raises(UserError, match=r"does not name its labels; use a checkpoint, or a file"):
            open_model(str(file), EngineConfig())


def test_int8_is_calibrated_and_close(tmp_path, capsys):
    """The shipped weights, calibrated on the street, compared with themselves over another drive, batch of two."""
    pytest.importorskip("nncf")
    path, size = tmp_path / "x.xml", (160, 96)
    words = ["export", "espnet_l1b_camvid", str(path), "--int8", "street", "--size", "160x96", "--format"]
    assert main([*words, "openvino"]) == 0
    assert 'element_type="i8"' in path.read_text()
    model = open_model(str(path), EngineConfig(device="cpu"))
    eager = TorchEngine(load_checkpoint("espnet_l1b_camvid"), CPU)
    mine, theirs = [None, None], [None, None]
    for number in range(4):
        batch = np.stack([pictures(size)[number], pictures(size)[number + 10]])
        answer, mine = model.step(batch, mine)
        expected, theirs = eager.step(batch, theirs)
    assert 0.85 < np.mean(answer.labels == expected.labels) < 1
    words[2] = str(tmp_path / "x.onnx")
    assert main([*words, "onnx"]) == 2
    assert "--int8 does not go with --format onnx; use --format openvino" in capsys.readouterr().err


def test_int8_needs_its_library(checkpoint_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vidseg_ros.cli.export.find_spec", lambda name: None)
    words = ["export", str(checkpoint_file), str(tmp_path / "x.xml"), "--format", "openvino", "--int8", "street"]
    assert main(words) == 2
    assert "--int8 needs nncf; install it with: pip install 'vidseg_ros[int8]'" in capsys.readouterr().err


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch):
    """OpenVINO said "iostream error", after it had cut the file that was there."""
    from vidseg_ros import files  # noqa: PLC0415
    from vidseg_ros.cli.main import main  # noqa: PLC0415

    def fail(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "x.xml"
    path.write_text("old")
    Checkpoint(tiny_network(), CAMVID).save(tmp_path / "c.safetensors")
    monkeypatch.setattr(files.os, "fsync", fail)
    assert main(["export", str(tmp_path / "c.safetensors"), str(path), "--format", "openvino"]) == 2
    assert path.read_text() == "old" and not path.with_suffix(".bin").exists()
