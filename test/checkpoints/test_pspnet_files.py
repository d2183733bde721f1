"""Files of PSPNet and of backbones: no released one is at hand, so that files of the same names and shapes are made."""

import pytest
import torch
from torch.nn import functional

from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.checkpoints.releases import ETC, TORCHVISION_RESNET, rename_all
from vidseg_ros.errors import UserError
from vidseg_ros.networks import build
from vidseg_ros.networks.pspnet import PSPNetConfig

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
FRAME = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


class Release:
    """Random tensors under the names of the ETC release, and its PSPNet-18 as a function of them."""

    def __init__(self, classes=19, head=256):
        self.state, self.random = {}, torch.Generator().manual_seed(1)
        self.conv("layer0.0", 3, 64, 7)
        self.norm("layer0.1", 64)
        before = 64
        for stage, width in enumerate((64, 128, 256, 512), 1):
            for block in range(2):
                name = f"layer{stage}.{block}"
                self.conv(f"{name}.conv1", before, width, 3)
                self.conv(f"{name}.conv2", width, width, 3)
                self.norm(f"{name}.bn1", width)
                self.norm(f"{name}.bn2", width)
                if before != width:
                    self.conv(f"{name}.downsample.0", before, width, 1)
                    self.norm(f"{name}.downsample.1", width)
                before = width
        for grid in range(4):
            self.conv(f"ppm.features.{grid}.1", 512, 128, 1)
            self.norm(f"ppm.features.{grid}.2", 128)
        for name, channels, width in (("cls", 1024, head), ("aux", 256, 256)):
            self.conv(f"{name}.0", channels, width, 3)
            self.norm(f"{name}.1", width)
            self.conv(f"{name}.4", width, classes, 1)
            self.state[f"{name}.4.bias"] = torch.randn(classes, generator=self.random)

    def conv(self, name, inputs, outputs, kernel):
        spread = (2 / (inputs * kernel**2)) ** 0.5
        self.state[f"{name}.weight"] = spread * torch.randn(outputs, inputs, kernel, kernel, generator=self.random)

    def norm(self, name, channels):
        for part in ("bias", "running_mean"):
            self.state[f"{name}.{part}"] = 0.1 * torch.randn(channels, generator=self.random)
        for part in ("weight", "running_var"):
            self.state[f"{name}.{part}"] = 0.5 + torch.rand(channels, generator=self.random)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def apply(self, x, conv, norm, stride=1, dilation=1):
        weight = self.state[f"{conv}.weight"]
        x = functional.conv2d(x, weight, None, stride, dilation * (weight.shape[-1] // 2), dilation)
        scale, bias, mean, var = (self.state[f"{norm}.{p}"] for p in ("weight", "bias", "running_mean", "running_var"))
        return functional.batch_norm(x, mean, var, scale, bias)

    def block(self, x, name, stride, dilation):
        first = self.apply(x, f"{name}.conv1", f"{name}.bn1", stride).relu()
        second = self.apply(first, f"{name}.conv2", f"{name}.bn2", dilation=dilation)
        if f"{name}.downsample.0.weight" in self.state:
            x = self.apply(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        return (x + second).relu()

    def logits(self, frame):
        x = (frame.float() - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        x = functional.max_pool2d(self.apply(x, "layer0.0", "layer0.1", 2).relu(), 3, 2, 1)
        for stage, stride, dilation in ((1, 1, 1), (2, 2, 1), (3, 1, 2), (4, 1, 4)):
            x = self.block(self.block(x, f"layer{stage}.0", stride, dilation), f"layer{stage}.1", 1, dilation)
        parts = [x]
        for grid, bins in enumerate((1, 2, 3, 6)):
            name = f"ppm.features.{grid}"
            mean = self.apply(functional.adaptive_avg_pool2d(x, bins), f"{name}.1", f"{name}.2").relu()
            parts.append(functional.interpolate(mean, x.shape[2:], mode="bilinear", align_corners=True))
        x = self.apply(torch.cat(parts, 1), "cls.0", "cls.1").relu()
        x = functional.conv2d(x, self.state["cls.4.weight"], self.state["cls.4.bias"])
        return functional.interpolate(x, frame.shape[2:], mode="bilinear", align_corners=True)


def saved(path, state):
    torch.save(state, path)
    return path


FORMS = {
    "plain": lambda state: state,
    "parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "training": lambda state: {
        "epoch": 200,
        "optimizer": {},
        "state_dict": {f"module.student.{key}": value for key, value in state.items()}
        | {"module.flownet.conv1.weight": torch.zeros(3), "module.teacher.layer0.0.weight": torch.zeros(3)},
    },
    "no counters": lambda state: {key: value for key, value in state.items() if value.is_floating_point()},
    "no auxiliary head": lambda state: {key: value for key, value in state.items() if not key.startswith("aux.")},
}


@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_a_release_of_etc_gives_the_logits_of_its_code(tmp_path, form):
    release = Release()
    checkpoint = import_weights(saved(tmp_path / "eval_para.pth", FORMS[form](release.state)))
    config = checkpoint.network.config
    assert (config.name, config.backbone, config.pooled_channels, config.head_channels) == (
        "pspnet",
        "resnet18",
        128,
        256,
    )
    assert (checkpoint.labels.name, config.input.size) == ("cityscapes", (2048, 1024))
    assert checkpoint.about == {"source": "eval_para.pth", "format": "etc"}
    expected = release.logits(FRAME)
    torch.testing.assert_close(
        checkpoint.network(FRAME)[0], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
    )


def test_widths_and_classes_are_read_off(tmp_path):
    checkpoint = import_weights(saved(tmp_path / "camvid.pth", Release(11, 128).state))
    assert (checkpoint.labels.name, checkpoint.network.config.head_channels) == ("camvid", 128)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("layer2.0.conv1.weight"),
        lambda state: state.pop("cls.4.weight"),
        lambda state: state.update({"layer5.0.weight": torch.zeros(2)}),
        lambda state: state.update({"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}),
        lambda state: state.update({"cls.4.weight": torch.zeros(7, 256, 1, 1), "cls.4.bias": torch.zeros(7)}),
        lambda state: state["layer0.1.bias"].fill_(float("nan")),
    ],
    ids=["missing", "no classifier", "left", "other shape", "other classes", "not finite"],
)
def test_other_builds_are_one_line(tmp_path, change):
    state = Release().state
    change(state)
    path = saved(tmp_path / "odd.pth", state)
    with pytest.raises(UserError) as caught:
        import_weights(path)
    assert str(caught.value).startswith(f"'{path}'")
    assert len(str(caught.value).splitlines()) == 1


def norm(name):
    return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


def names_of_resnet101():
    """Blocks as torchvision and PSPNet's code name them."""
    for stage, depth in enumerate((3, 4, 23, 3), 1):
        for block in range(depth):
            for i in (1, 2, 3):
                yield from (f"layer{stage}.{block}.conv{i}.weight", *norm(f"layer{stage}.{block}.bn{i}"))
        yield from (f"layer{stage}.0.downsample.0.weight", *norm(f"layer{stage}.0.downsample.1"))


def test_all_names_of_the_teacher_are_known():
    """PSPNet-101 with its deep stem, as PSPNet's code names it, and its backbone for ImageNet."""
    with torch.device("meta"):
        ours = build(PSPNetConfig(backbone="resnet101")).state_dict().keys()
    stem = [name for i in (0, 3, 6) for name in (f"layer0.{i}.weight", *norm(f"layer0.{i + 1}"))]
    pooling = [name for i in range(4) for name in (f"ppm.features.{i}.1.weight", *norm(f"ppm.features.{i}.2"))]
    heads = [
        name for h in ("cls", "aux") for name in (f"{h}.0.weight", *norm(f"{h}.1"), f"{h}.4.weight", f"{h}.4.bias")
    ]
    whole = dict.fromkeys([*names_of_resnet101(), *stem, *pooling, *heads])
    assert rename_all(whole, ETC).keys() == ours
    stem = [name for i in (1, 2, 3) for name in (f"conv{i}.weight", *norm(f"bn{i}"))]
    backbone = dict.fromkeys([*names_of_resnet101(), *stem])
    assert rename_all(backbone, TORCHVISION_RESNET).keys() == {key for key in ours if key.startswith("encoder.")}


def test_a_backbone_of_torchvision(tmp_path):
    state = {key: value for key, value in Release().state.items() if key.startswith("layer") and "layer0" not in key}
    state |= {"conv1.weight": torch.full((64, 3, 7, 7), 0.5), "fc.weight": torch.zeros(1000, 512)}
    state |= {f"bn1.{part}": torch.ones(64) for part in ("weight", "bias", "running_mean", "running_var")}
    checkpoint = import_weights(saved(tmp_path / "resnet18.pth", state))
    assert checkpoint.about["format"] == "resnet of torchvision; the head is untrained"
    tensors = checkpoint.network.state_dict()
    assert torch.equal(tensors["encoder.stem.0.0.weight"], state["conv1.weight"])
    assert torch.equal(tensors["encoder.stages.3.1.layers.1.0.weight"], state["layer4.1.conv2.weight"])


@pytest.mark.parametrize("family", ["ResNet", "MobileNetV2"])
@torch.inference_mode()
def test_a_folder_of_transformers(tmp_path, family):
    """Down to 1/8, where nothing is dilated, both say the same. MobileNetV2 is told not to pad as TensorFlow."""
    transformers = pytest.importorskip("transformers")
    small = {"depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "layer_type": "basic"}
    config = getattr(transformers, f"{family}Config")(**(small if family == "ResNet" else {"tf_padding": False}))
    theirs = getattr(transformers, f"{family}ForImageClassification")(config).eval()
    theirs.save_pretrained(tmp_path)
    network = import_weights(tmp_path / "model.safetensors").network
    assert network.config.backbone == {"ResNet": "resnet18", "MobileNetV2": "mobilenetv2"}[family]
    x = network.normalize(FRAME)
    stages = network.encoder.stages[: 2 if family == "ResNet" else 3]
    mine = torch.nn.Sequential(network.encoder.stem, *stages)(x)
    hidden = theirs(x, output_hidden_states=True).hidden_states
    torch.testing.assert_close(mine, hidden[2 if family == "ResNet" else 4], rtol=1e-4, atol=1e-4)
