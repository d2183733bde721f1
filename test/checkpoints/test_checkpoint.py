import json
import os
import pickle
import stat

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from test.conftest import SIZE, tiny_network
from vidseg_ros.checkpoints.checkpoint import (
    DEFAULT_CHECKPOINT,
    METADATA_KEY,
    Checkpoint,
    InferenceConfig,
    load_checkpoint,
    shipped_weights,
    without_denormals,
)
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_writable
from vidseg_ros.labels import CAMVID, CITYSCAPES
from vidseg_ros.networks import unroll


def logits(network):
    clip = torch.randint(0, 256, (3, 1, 3, SIZE[1], SIZE[0]), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        return unroll(network, clip)[0]


def refusal(path):
    """Return the sentence with which ``path`` is refused: one line that names the file and a remedy."""
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    assert "; " in message, f"no remedy in: {message}"
    return message


def rewrite(path, change=lambda header, tensors: None):
    """Change header and tensors of a checkpoint file in place."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, path, {METADATA_KEY: json.dumps(header)})


@pytest.mark.parametrize("position", [None, "L1a", "L1b", "L1c", "L1d"])
def test_what_is_saved_comes_back(position, tmp_path):
    network = tiny_network(position)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.1 * torch.rand_like(tensor))  # nothing is at its initial value
    about = {"miou": 61.5, "command": "vidseg train", "nested": {"seed": 3, "list": [1, 2]}}
    path = tmp_path / "new" / "folder" / "tiny.safetensors"
    Checkpoint(network, CAMVID, about, version="9.8.7").save(path)
    loaded = load_checkpoint(path)
    assert torch.equal(logits(loaded.network), logits(network))
    assert loaded.network.config == network.config
    assert (loaded.labels, loaded.about, loaded.version) == (CAMVID, about, "9.8.7")
    assert not loaded.network.training
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_path_may_be_text(checkpoint_file):
    assert torch.equal(
        logits(load_checkpoint(str(checkpoint_file)).network), logits(load_checkpoint(checkpoint_file).network)
    )


@pytest.mark.skipif(not shipped_weights(DEFAULT_CHECKPOINT).is_file(), reason="the shipped weights are not made yet")
def test_no_name_means_the_default_weights():
    default, named = load_checkpoint(""), load_checkpoint("fddwnet_camvid")
    assert default.labels == CAMVID
    assert default.inference.memory == "flow"
    assert torch.equal(logits(default.network), logits(named.network))


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("dump", [lambda x, p: p.write_bytes(pickle.dumps(x, 2)), torch.save], ids=["pickle", "torch"])
def test_a_pickle_is_refused_unopened(dump, tmp_path):
    dump(Bomb(tmp_path / "mark"), tmp_path / "bomb.safetensors")
    assert "import-weights" in refusal(tmp_path / "bomb.safetensors")
    assert not (tmp_path / "mark").exists()


def test_missing_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.safetensors")
    assert "does not exist" in refusal(tmp_path)


@pytest.mark.parametrize("cut", [0, 4, 8, 100, 0.5, -1])
def test_truncated_file(checkpoint_file, cut):
    data = checkpoint_file.read_bytes()
    checkpoint_file.write_bytes(data[: int(cut * len(data)) if isinstance(cut, float) else cut])
    assert "truncated" in refusal(checkpoint_file)


def test_safetensors_of_others(tmp_path):
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", metadata)
        assert "not written by vidseg_ros" in refusal(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h, t: t.pop("cell.h0"), "'cell.h0' is missing"),
        (lambda h, t: t.update(extra=torch.zeros(1)), "'extra' is not of this network"),
        (lambda h, t: t.update({"cell.h0": torch.zeros(11, 8, 13)}), r"'cell.h0' has shape (11, 8, 13)"),
        (lambda h, t: h["labels"].update(names=list("abc"), colors=[[0, 0, 0]] * 3), "11 classes but label set"),
        (lambda h, t: h["labels"].update(names=list("abc")), "3 names but 11 colours"),
        (lambda h, t: h["network"].update(clases=11), "unknown key 'clases'"),
        (lambda h, t: h["network"]["cell"].update(kernal=3), "unknown key 'cell.kernal'"),
        (lambda h, t: h["network"].update(name="resnet"), "'resnet'"),
        (lambda h, t: h["network"].update(q="3"), "q is '3'"),
        (lambda h, t: h.pop("labels"), "'labels'"),
        (lambda h, t: h.pop("about"), "'about'"),
        (lambda h, t: h["labels"].pop("colors"), "colors is missing"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_file_at_odds_with_itself(checkpoint_file, change, words):
    rewrite(checkpoint_file, change)
    assert words in refusal(checkpoint_file)


@pytest.mark.parametrize(
    "metadata",
    ["{", "", "[]", "null", '{"network": 3}', 800 * '{"network": ' + "0" + 800 * "}", 5000 * "9"],
    ids=lambda text: text[:13],
)
def test_unreadable_metadata(tmp_path, metadata):
    save_file({"weight": torch.zeros(2)}, tmp_path / "odd.safetensors", {METADATA_KEY: metadata})
    refusal(tmp_path / "odd.safetensors")


def test_a_file_of_a_later_version_says_so(checkpoint_file):
    rewrite(checkpoint_file, lambda h, t: h.update(format=99, version="7.0.0"))
    assert "of format 99, written by vidseg_ros 7.0.0" in refusal(checkpoint_file)


def test_a_description_nested_without_end_is_one_line(tmp_path):
    path = tmp_path / "deep.safetensors"
    save_file({"weight": torch.zeros(1)}, path, {METADATA_KEY: "[" * 100_000})
    with pytest.raises(UserError, match=r"broken description .*nested too deeply"):
        load_checkpoint(path)


def test_of_a_large_file_that_is_no_checkpoint_no_more_than_its_beginning_is_read(tmp_path):
    path = tmp_path / "recording.mcap"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # no memory holds it
    assert "is truncated or not a safetensors file" in refusal(path)


def as_format_1(header, tensors):
    """What version 0.1.0 wrote."""
    header.pop("format")
    header["network"]["hysteresis"] = header.pop("inference")["hysteresis"]
    tensors["up_half.weight"] = tensors.pop("head.weight")


def test_a_file_of_the_first_format_is_the_same_network(tmp_path):
    before = Checkpoint(tiny_network(), CAMVID, {"step": 3}, InferenceConfig(hysteresis=0.25))
    before.save(tmp_path / "x.safetensors")
    rewrite(tmp_path / "x.safetensors", as_format_1)
    after = load_checkpoint(tmp_path / "x.safetensors")
    assert (after.inference, after.about) == (before.inference, before.about)
    torch.testing.assert_close(logits(after.network), logits(before.network), rtol=0, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_damaged_weights_are_not_hidden(checkpoint_file, value):
    rewrite(checkpoint_file, lambda h, t: t["head.weight"].view(-1)[3].fill_(value))
    assert "'head.weight' holds values that are not finite" in refusal(checkpoint_file)


def test_weights_of_another_type_are_refused(checkpoint_file):
    rewrite(checkpoint_file, lambda h, t: t.update({"head.weight": t["head.weight"].int()}))
    assert "'head.weight' is torch.int32, not torch.float32" in refusal(checkpoint_file)


def test_an_untouched_rewrite_loads(checkpoint_file):
    """What the tests above change is what makes them fail."""
    rewrite(checkpoint_file)
    assert load_checkpoint(checkpoint_file).labels == CAMVID


def test_labels_must_fit_the_network():
    with pytest.raises(UserError, match="11 classes but label set 'cityscapes' has 19; name"):
        Checkpoint(tiny_network(), CITYSCAPES)


@pytest.mark.parametrize("name", ["file/tiny.safetensors", "folder.safetensors"])
def test_unwritable_output(checkpoint, tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.safetensors").mkdir()
    for write in (checkpoint.save, require_writable):
        with pytest.raises(UserError, match=rf"cannot write '.*{name}': .+; name a writable place"):
            write(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.safetensors"}


def test_asking_whether_a_file_can_be_written_leaves_no_trace(tmp_path):
    (tmp_path / "old.safetensors").write_text("old")
    require_writable(tmp_path / "old.safetensors")
    require_writable(tmp_path / "new.safetensors")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_full_disk_leaves_the_old_file(checkpoint_file, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    before = checkpoint_file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        Checkpoint(tiny_network(seed=1), CAMVID).save(checkpoint_file)
    assert checkpoint_file.read_bytes() == before
    assert list(checkpoint_file.parent.iterdir()) == [checkpoint_file]


def test_denormal_weights_are_dropped(tmp_path):
    """Arithmetic with them is some twenty times slower on a CPU; nobody sees them in the result."""
    network = tiny_network()
    with torch.no_grad():
        network.merge[1].reduce.weight[0] = 1e-39
        kept = network.merge[1].reduce.weight[1].clone()
    Checkpoint(network, CAMVID).save(tmp_path / "x.safetensors")
    weight = load_checkpoint(tmp_path / "x.safetensors").network.merge[1].reduce.weight
    assert (weight[0] == 0).all()
    assert torch.equal(weight[1], kept)
    assert without_denormals(torch.tensor([3, 0])).tolist() == [3, 0]


def test_a_program_of_torch_export_is_called_one(tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pt2")
    assert "is an archive of PyTorch, no checkpoint: a .pt2 of vidseg export runs without this package" in refusal(
        tmp_path / "x.pt2"
    )
