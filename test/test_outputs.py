"""No verb writes over its inputs, or among them."""

import cv2
import numpy as np
import pytest

from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_apart, require_other


@pytest.fixture
def images(tmp_path):
    """Return a folder of images with a folder in it."""
    folder = tmp_path / "drives/images"
    (folder / "inner").mkdir(parents=True)
    cv2.imwrite(str(folder / "1.png"), np.zeros((64, 96, 3), np.uint8))
    return folder


@pytest.mark.parametrize("output", [".", "..", "inner", "inner/new", "../images/inner/.."])
def test_folders_must_be_apart(images, output):
    with pytest.raises(UserError, match=r"is, contains or lies in the input '.*images'; name another --output"):
        require_apart(images / output, [images])


@pytest.mark.parametrize("output", ["../other", "../images2", "../imag"])
def test_folders_that_are_apart(images, output):
    require_apart(images / output, [images])


def test_a_link_is_what_it_points_to(images, tmp_path):
    (tmp_path / "link").symlink_to(images)
    with pytest.raises(UserError, match="lies in the input"):
        require_apart(tmp_path / "link/inner", [images])
    (images / "same.png").hardlink_to(images / "1.png")
    with pytest.raises(UserError, match=r"same.png' is an input and would be overwritten"):
        require_other(images / "same.png", [images / "1.png"])
    require_other(images / "2.png", [images / "1.png", images / "nothing.png"])


@pytest.mark.parametrize("output", ["images", "..", "images/inner", "images/new"])
@pytest.mark.parametrize("verb", ["replay", "pseudo-label", "demo", "labels"])
def test_every_verb_refuses_an_output_beside_its_input(verb, output, images, checkpoint_file, capsys):
    """A replay's pictures and bag were written among the frames, and judged in the next run."""
    target, away = str(images.parent / output), "/nowhere/ids"
    options = {
        "replay": ["replay", str(images), "--checkpoint", str(checkpoint_file), "--output", target],
        "labels": ["replay", away, "--checkpoint", str(checkpoint_file), "--output", target, "--labels", str(images)],
        "pseudo-label": ["pseudo-label", str(images), "--teacher", str(checkpoint_file), "--output", target],
        "demo": ["demo", "--input", str(images), "--checkpoint", str(checkpoint_file), "--output", target],
    }[verb]
    before = sorted(images.parent.rglob("*"))
    assert main(options) == 2
    error = capsys.readouterr().err
    assert f"contains or lies in the input '{images}'" in error and error.count("\n") == 1
    assert sorted(images.parent.rglob("*")) == before


def test_labels_of_a_split_go_beside_its_frames(checkpoint_file, tmp_path):
    folder = tmp_path / "leftImg8bit_sequence/train/ulm"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "ulm_000001_000001_leftImg8bit.png"), np.zeros((64, 96, 3), np.uint8))
    command = ["pseudo-label", str(folder.parent), "--teacher", str(checkpoint_file), "--scales", "1", "--no-flip"]
    assert main([*command, "--output", str(tmp_path)]) == 0


def test_no_file_is_overwritten_that_is_an_input(checkpoint_file, tmp_path, capsys):
    other, config = tmp_path / "other.safetensors", tmp_path / "config.yaml"
    flow = tmp_path / "flow.onnx"
    flow.write_bytes(checkpoint_file.read_bytes())
    weights = tmp_path / "net.bin"
    weights.write_bytes(checkpoint_file.read_bytes())
    other.write_bytes(checkpoint_file.read_bytes())
    config.write_text("network: {}\n")
    commands = {
        (
            "average",
            checkpoint_file,
            other,
        ): "other.safetensors' is there and would be overwritten; name a new file last",
        ("average", checkpoint_file, checkpoint_file): "is an input and would be overwritten; name another file",
        ("export", other, flow, "--format", "onnx", "--flow", flow): "flow.onnx' is an input",
        ("evaluate", other, "nowhere", "--flow", flow, "--json", flow): "flow.onnx' is an input",
        ("simulate", "--closed-loop", "--flow", flow, "--json", flow): "flow.onnx' is an input",
        ("replay", "x", "--checkpoint", other, "--compare", config, "--output", "o", "--json", config): "is an input",
        ("replay", "x", "--checkpoint", other, "--labels", config, "--output", "o", "--json", config): "is an input",
        ("demo", "--input", config, "--json", config): "config.yaml' is an input",
        ("export", weights, tmp_path / "net.xml", "--format", "openvino"): "net.bin' is an input",
        ("evaluate", tmp_path / "net.xml", "nowhere", "--json", weights): "net.bin' is an input",
        ("benchmark", "--engines", f"torch,{flow}", "--json", flow): "flow.onnx' is an input",
        ("import-weights", other, other): "is an input and would be overwritten; name another file",
        ("train", config, config): "config.yaml' is an input",
        ("train", config, other, "--weights", other): "other.safetensors' is an input",
        ("evaluate", other, "nowhere", "--json", other): "other.safetensors' is an input",
        ("simulate", "--closed-loop", "--checkpoint", other, "--json", other): "other.safetensors' is an input",
        ("benchmark", "--checkpoint", other, "--json", other): "other.safetensors' is an input",
        ("pseudo-label", config, "--teacher", other, "--output", tmp_path / "o", "--json", other): "is an input",
        ("replay", config, "--checkpoint", other, "--output", tmp_path / "o", "--json", other): "is an input",
        ("demo", "--checkpoint", other, "--output", tmp_path / "o", "--json", other): "is an input",
    }
    whole = checkpoint_file.read_bytes()
    for command, text in commands.items():
        assert main(list(map(str, command))) == 2, command
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1, error
        assert checkpoint_file.read_bytes() == other.read_bytes() == flow.read_bytes() == weights.read_bytes() == whole
        assert config.read_text() == "network: {}\n"
