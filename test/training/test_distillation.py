"""Training with teachers: what they say, that they stay as they are, and that nothing of it is in the checkpoint."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from test.conftest import SIZE, tiny_network
from test.training.conftest import NETWORK, toy_config
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.data.config import SourceConfig
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES
from vidseg_ros.losses import Batch
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.losses.distillation import LARGEST_WEIGHT
from vidseg_ros.networks import build
from vidseg_ros.networks.config import InputConfig
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.networks.gated_flow import GatedFlowConfig
from vidseg_ros.networks.mininetv2 import MiniNetV2Config
from vidseg_ros.teachers import CheckpointTeacher, PseudoConfig, TeacherConfig, open_teacher
from vidseg_ros.training.config import PhaseConfig
from vidseg_ros.training.module import SegmentationModule
from vidseg_ros.training.teaching import Ensemble
from vidseg_ros.training.trainer import Hardware, train

ALL_TERMS = LossConfig(lambda_temporal=0.1, lambda_sf=0.1, lambda_pf=0.1, lambda_mf=0.1)


@pytest.fixture
def city(tmp_path):
    """Two networks of 19 classes."""
    paths = []
    for seed, config in enumerate(
        (MiniNetV2Config(classes=19, input=InputConfig(SIZE)), ESPNetConfig(classes=19, p=0, q=0))
    ):
        torch.manual_seed(seed)
        paths.append(tmp_path / f"city{seed}.safetensors")
        Checkpoint(build(config).eval(), CITYSCAPES).save(paths[-1])
    return [str(path) for path in paths]


def some_frames(frames=2, batch=3):
    return torch.randint(
        0, 256, (frames, batch, 3, SIZE[1], SIZE[0]), generator=torch.Generator().manual_seed(0)
    ).byte()


def test_a_batch_is_predicted_frame_by_frame(city, checkpoint_file):
    """As a stream that has just begun, whatever a network remembers."""
    frames = some_frames()[0]
    for name in (*city, str(checkpoint_file)):
        teacher = CheckpointTeacher(name, TeacherConfig((name,), scales=(1.0, 1.5), flip=True))
        plain = CheckpointTeacher(name, PseudoConfig(scales=(1.0, 1.5)))
        plain._size = SIZE
        found = teacher.predict(frames)
        assert found.probabilities.shape == (3, len(teacher.labels), SIZE[1], SIZE[0])
        for frame, probabilities in zip(frames, found.probabilities, strict=True):
            plain.begin()
            torch.testing.assert_close(
                probabilities, plain.logits(frame.permute(1, 2, 0).numpy()).exp(), atol=1e-5, rtol=1e-4
            )


def test_classes_are_added_up(city):
    frames = some_frames()
    said = Ensemble(TeacherConfig((city[0],)), CAMVID, print)(frames)
    theirs = CheckpointTeacher(city[0], TeacherConfig((city[0],))).predict(frames[1]).probabilities
    sums = {
        "sign": ("traffic light", "traffic sign"),
        "bicyclist": ("rider", "motorcycle", "bicycle"),
        "road": ("road",),
        "car": ("car", "truck", "bus", "train"),
    }
    assert said.logits.shape == (2, 3, 11, SIZE[1], SIZE[0])
    for name, parts in sums.items():
        expected = sum(theirs[:, CITYSCAPES.id_of(part)] for part in parts)
        torch.testing.assert_close(said.logits[1, :, CAMVID.id_of(name)].exp(), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(said.logits.exp().sum(2), torch.ones(2, 3, SIZE[1], SIZE[0]))


def test_teachers_are_averaged_and_one_named_twice_counts_twice(city):
    frames, names = some_frames(), (city[0], city[1], city[0])
    alone = {name: Ensemble(TeacherConfig((name,)), CAMVID, print)(frames) for name in city}
    mean = sum(count * alone[name].logits.exp() for name, count in Counter(names).items()) / len(names)
    together = Ensemble(TeacherConfig(names), CAMVID, print)(frames)
    torch.testing.assert_close(together.logits.exp(), mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.features, alone[city[0]].features)
    assert not together.logits.requires_grad


def test_features_are_those_of_each_frame_whatever_is_remembered_along_the_flow():
    """The head of a learned gate sees the past, too."""
    network = build(replace(tiny_network(None).config, propagation=GatedFlowConfig()))
    phase = PhaseConfig(1, 2, 3, 1e-3, "single")
    lesson = SegmentationModule(
        network,
        CAMVID,
        toy_config(phase, loss=ALL_TERMS, teacher=TeacherConfig(("espnet_camvid",))),
        phase,
        torch.ones(11),
    )
    frames, flow = some_frames(), torch.zeros(1, 3, 2, SIZE[1], SIZE[0])
    output = lesson._predict(Batch(frames, frames[:, :, 0], flow, flow))
    assert len(output.features) == len(frames)
    for features, frame in zip(output.features, frames, strict=True):
        torch.testing.assert_close(features, network.before_head(frame)[0])


def test_a_student_of_its_own_teacher_has_nothing_to_learn(tmp_path):
    """All terms of distillation are zero for the network itself; its features are those before the head."""
    network = tiny_network(None)
    path = tmp_path / "self.safetensors"
    Checkpoint(network, CAMVID).save(path)
    teacher = Ensemble(TeacherConfig((str(path),)), CAMVID, print)
    phase = PhaseConfig(1, 2, 3, 1e-3, "single")
    config = toy_config(phase, loss=ALL_TERMS, teacher=TeacherConfig((str(path),)))
    lesson = SegmentationModule(network, CAMVID, config, phase, torch.ones(11), teacher=teacher)
    frames = some_frames()
    output, said = lesson._predict(Batch(frames, frames[:, :, 0])), lesson._taught(frames)
    seen, _ = network.before_head(frames[1])
    torch.testing.assert_close(output.features[1], seen)
    batch = Batch(frames, torch.zeros(2, 3, SIZE[1], SIZE[0]).byte(), torch.zeros(1, 3, 2, SIZE[1], SIZE[0]))
    losses = lesson.objective(batch, output, said)
    assert [losses[name].item() for name in ("sf", "pf", "mf")] == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("network", ["memory", "single", "encoder"])
def test_training_with_all_terms(dataset, tmp_path, city, network, monkeypatch):
    """Labelled stills and video without labels; what only training needs is not in the checkpoint."""
    monkeypatch.setattr("vidseg_ros.data.mixture.COUNTED_DRIVES", 4)
    before = load_checkpoint(city[0]).network.state_dict()
    lessons = []
    watch = SegmentationModule.on_train_end
    monkeypatch.setattr(SegmentationModule, "on_train_end", lambda lesson: (lessons.append(lesson), watch(lesson)))
    film = SourceConfig(str(dataset / "frames"), stills=False, unlabelled=True, frame_range=3)
    phase = PhaseConfig(3, 2, 2, 1e-3, {"memory": "all"}.get(network, network))
    lines = []
    config = toy_config(
        phase,
        data=(SourceConfig("toy"), film),
        loss=ALL_TERMS,
        teacher=TeacherConfig((city[0],), (1.5,), flip=True),
        save_minutes=1e-9,
        ema_decay=0.9,
        validation="toy",
    )
    result = train(config, tmp_path / "x.safetensors", None, Hardware(), lines.append)
    (line,) = [line for line in lines if "total" in line]
    assert all(f"  {name} " in line for name in ("ce", "temporal", "sf", "pf", "mf"))
    assert "nan" not in line
    (lesson,) = lessons
    assert max(p.abs().max() for p in lesson.objective.embedding.parameters()) <= LARGEST_WEIGHT
    fresh = build(NETWORK if network == "memory" else ESPNetConfig(p=1, q=1)).state_dict()
    assert result.network.state_dict().keys() == fresh.keys()
    after = lesson.teacher._members[0]._network
    for name, tensor in after.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(parameter.requires_grad for parameter in after.parameters())
    state = torch.load(tmp_path / "x.run/phase1/state.ckpt")["state_dict"]
    assert {name.split(".")[0] for name in state} - {"head"} == {"network", "objective"}


def test_video_alone_teaches(dataset, tmp_path, city, monkeypatch):
    """No label at all: the teacher is the truth."""
    monkeypatch.setattr("vidseg_ros.data.mixture.COUNTED_DRIVES", 4)
    data = (SourceConfig(str(dataset / "frames"), unlabelled=True),)
    lines = []
    config = toy_config(
        PhaseConfig(50, 1, 4, 5e-3, "single"),
        data=data,
        loss=LossConfig(lambda_sf=1.0),
        teacher=TeacherConfig((city[0],)),
    )
    train(config, tmp_path / "x.safetensors", None, Hardware(), lines.append)
    (line,) = [line for line in lines if "total" in line]
    assert "ce 0.0000" in line
    assert float(line.split("sf ")[1].split()[0]) < 2.0


@pytest.mark.parametrize(
    ("loss", "teacher", "problem"),
    [
        (
            LossConfig(lambda_pf=0.1),
            None,
            r"loss has lambda_pf, and there is no teacher; give teacher: \{names: \[CHECKP",
        ),
        (
            LossConfig(),
            TeacherConfig(("x",)),
            "no term of the loss asks it; set one of lambda_sf, lambda_pf, lambda_mf",
        ),
    ],
)
def test_teachers_and_terms_belong_together(loss, teacher, problem):
    with pytest.raises(UserError, match=problem):
        toy_config(loss=loss, teacher=teacher)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"names": ()}, "teacher.names is empty"),
        ({"names": ("x",), "scales": ()}, "teacher.scales is empty"),
        ({"names": ("x",), "scales": (0.0,)}, "teacher.scales is 0.0; it must be above 0"),
    ],
)
def test_bad_teachers(arguments, problem):
    with pytest.raises(UserError, match=problem):
        TeacherConfig(**arguments)


def test_a_teacher_that_is_not_there_is_one_line(dataset, tmp_path):
    config = toy_config(loss=LossConfig(lambda_sf=0.1), teacher=TeacherConfig(("nowhere.safetensors",)))
    with pytest.raises(UserError, match=r"checkpoint 'nowhere.safetensors' does not exist"):
        train(config, tmp_path / "x.safetensors", None, Hardware(), print)


def test_a_teacher_is_not_overwritten(dataset, tmp_path, city, capsys):
    config = tmp_path / "toy.yaml"
    config.write_text(
        "network: {p: 1, q: 1, input: {size: [96, 64]}}\ndata: [{source: toy}]\nloss: {lambda_sf: 0.1}\n"
        "phases: [{steps: 1, clip_length: 1, batch: 1, learning_rate: 0.001, trainable: single}]\n"
        f"teacher: {{names: [{city[0]}]}}\n"
    )
    assert main(["train", str(config), city[0], "--device", "cpu"]) == 2
    assert "is an input and would be overwritten" in capsys.readouterr().err


def test_open_teacher_takes_either_configuration(city):
    for config in (PseudoConfig(), TeacherConfig((city[0],))):
        assert open_teacher(city[0], "cityscapes", config).labels == CITYSCAPES
