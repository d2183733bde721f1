"""Real models of transformers, tiny and untrained, as teachers."""

import json

import numpy as np
import pytest
import torch

from test.io.making import write_bag
from test.replay.conftest import messages
from vidseg_ros.cli.main import main
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.labels import CITYSCAPES, IGNORE

transformers = pytest.importorskip("transformers")
SPREAD = 0.3  # of the first weights: with the usual 0.02, an untrained model gives all classes the same
NAMES = ["unicorn", *reversed(CITYSCAPES.names)]  # in an order of its own, and one class too many


def segformer():
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=32,
        initializer_range=SPREAD, id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )  # fmt: skip
    processor = transformers.SegformerImageProcessor(size={"height": 64, "width": 96})
    return transformers.SegformerForSemanticSegmentation(config), processor


def mobilevit():
    """Its processor puts blue first."""
    config = transformers.MobileViTConfig(
        image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 64], expand_ratio=2.0,
        aspp_out_channels=16, initializer_range=SPREAD,
        id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )  # fmt: skip
    processor = transformers.MobileViTImageProcessor(size={"shortest_edge": 64}, do_center_crop=False)
    return transformers.MobileViTForSemanticSegmentation(config), processor


@pytest.fixture(params=[segformer, mobilevit], ids=["segformer", "mobilevit"])
def saved(request, tmp_path):
    torch.manual_seed(0)
    model, processor = request.param()
    model.eval().save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model", model, processor


def pseudo_label(drive, teacher, tmp_path, *options):
    bag = write_bag(tmp_path / "drive", {"/image": messages([frame.rgb for frame in drive])})
    return main(["pseudo-label", str(bag), "--teacher", str(teacher), "--output", str(tmp_path / "data"), *options])


def test_labels_are_those_that_transformers_gives(saved, drive, tmp_path):
    folder, model, processor = saved
    options = ("--confidence", "0", "--no-flip", "--no-agreement", "--json", str(tmp_path / "figures.json"))
    assert pseudo_label(drive[:2], folder, tmp_path, *options) == 0
    for stored, frame in zip(open_dataset(str(tmp_path / "data"), CITYSCAPES), drive[:2], strict=True):
        with torch.inference_mode():
            answer = model(**processor(images=frame.rgb, return_tensors="pt"))
        (theirs,) = processor.post_process_semantic_segmentation(answer, [frame.rgb.shape[:2]])
        expected = [NAMES[number] for number in theirs.flatten().tolist()]
        labels = [CITYSCAPES.names[number] for number in stored.read().labels.flatten()]
        assert len(set(expected)) > 1
        known = [(mine, right) for mine, right in zip(labels, expected, strict=True) if right != "unicorn"]
        assert known and all(mine == right for mine, right in known)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["frames"], figures["labelled"]) == (2, 100.0)


def test_classes_that_it_does_not_know_are_named(saved, drive, tmp_path, capsys):
    folder, *_ = saved
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {number: name.replace("terrain", "meadow") for number, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    assert pseudo_label(drive[:1], folder, tmp_path, "--confidence", "0") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "gives no labels to these classes of 'cityscapes': terrain labels of" in told, told
    (stored,) = open_dataset(str(tmp_path / "data"), CITYSCAPES)
    assert not np.isin(stored.read().labels, [CITYSCAPES.id_of("terrain"), IGNORE]).any()


def test_a_folder_that_holds_no_model_is_one_line(drive, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert pseudo_label(drive[:1], tmp_path / "empty", tmp_path) == 2
    error = capsys.readouterr().err
    assert "cannot load teacher" in error and error.count("\n") == 1
