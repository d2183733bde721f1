"""The official files, checked against the official networks written a second time: as functions of the raw tensors."""

import os
import pickle

import pytest
import torch
from torch.nn import functional

from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES
from vidseg_ros.networks import unroll

CAMVID_FILE = "official_decoder_espnet_p_2_q_8_camvid.pth"
CITYSCAPES_FILE = "official_decoder_espnet_p_2_q_3.pth"
ENCODER_FILE = "official_encoder_espnet_p_2_q_3.pth"
CITYSCAPES_BGR = (72.3923111, 82.90893555, 73.15840149), (45.3192215, 46.15289307, 44.91483307)
F2F_RGB = (73.158, 82.909, 72.392), (44.915, 46.153, 45.319)
CLASSES, STATE_SIZE = 19, (6, 9)
ACTIVATIONS = {"tanh": torch.tanh, "leaky_relu": functional.leaky_relu}


class Official:
    """ESPNet of Mehta et al. and the L1b form of it, straight from a state dict with the official names."""

    def __init__(self, state):
        self.state = state

    def conv(self, x, name, stride=1, dilation=1):
        weight = self.state[f"{name}.weight"]
        return functional.conv2d(x, weight, None, stride, dilation * (weight.shape[-1] // 2), dilation)

    def up(self, x, name):
        return functional.conv_transpose2d(x, self.state[f"{name}.weight"], stride=2)

    def norm(self, x, name, eps=1e-3):
        weight, bias, mean, var = (self.state[f"{name}.{k}"] for k in ("weight", "bias", "running_mean", "running_var"))
        return functional.batch_norm(x, mean, var, weight, bias, eps=eps)

    def norm_act(self, x, name):
        return functional.prelu(self.norm(x, f"{name}.bn"), self.state[f"{name}.act.weight"])

    def down(self, x, name):
        return self.norm_act(self.pyramid(self.conv(x, f"{name}.c1.conv", 2), name), name)

    def block(self, x, name, residual=True):
        merged = self.pyramid(self.conv(x, f"{name}.c1.conv"), name)
        return self.norm_act(x + merged if residual else merged, f"{name}.bn")

    def pyramid(self, x, name):
        d1, d2, d4, d8, d16 = (self.conv(x, f"{name}.d{d}.conv", dilation=d) for d in (1, 2, 4, 8, 16))
        return torch.cat([d1, d2, d2 + d4, d2 + d4 + d8, d2 + d4 + d8 + d16], 1)

    def encoder(self, x, p, q, prefix="encoder."):
        half_rgb = functional.avg_pool2d(x, 3, 2, 1)
        quarter_rgb = functional.avg_pool2d(half_rgb, 3, 2, 1)
        half = self.conv(x, f"{prefix}level1.conv", 2)
        half = self.norm_act(half, f"{prefix}level1")
        with_rgb = self.norm_act(torch.cat([half, half_rgb], 1), f"{prefix}b1")
        quarter = first = self.down(with_rgb, f"{prefix}level2_0")
        for i in range(p):
            quarter = self.block(quarter, f"{prefix}level2.{i}")
        quarter = self.norm_act(torch.cat([quarter, first, quarter_rgb], 1), f"{prefix}b2")
        eighth = first = self.down(quarter, f"{prefix}level3_0")
        for i in range(q):
            eighth = self.block(eighth, f"{prefix}level3.{i}")
        eighth = self.norm_act(torch.cat([first, eighth], 1), f"{prefix}b3")
        return half, with_rgb, quarter, eighth

    def decoder(self, half, quarter, reduced):
        deep = self.up(self.norm(reduced, "br"), "up_l3.0")
        merged = self.norm_act(torch.cat([self.conv(quarter, "level3_C.conv"), deep], 1), "combine_l2_l3.0")
        middle = self.up(self.block(merged, "combine_l2_l3.1", residual=False), "up_l2.0")
        middle = self.norm_act(middle, "up_l2.1")
        return self.up(self.norm_act(self.conv(torch.cat([middle, half], 1), "conv.conv"), "conv"), "classifier")

    def espnet(self, x, p, q, skip_rgb):
        half, with_rgb, quarter, eighth = self.encoder(x, p, q)
        reduced = self.conv(eighth, "encoder.classifier.conv")
        return self.decoder(with_rgb if skip_rgb else half, quarter, reduced)

    def l1b(self, clip, p, q, activation):
        """Return the logits of each frame, from the learned initial state on."""
        prelu = self.state.get("encoder.clstm.cell.activation_function.weight")
        act = ACTIVATIONS.get(activation, lambda x: functional.prelu(x, prelu))
        weight, bias = (self.state[f"encoder.clstm.cell.convolution.{k}"] for k in ("weight", "bias"))
        peep = self.state["encoder.clstm.cell.peephole_weights"][:, None, :, None, None]
        h = c = None
        logits = []
        for x in clip:
            half, _, quarter, eighth = self.encoder(x, p, q)
            if activation == "tanh":
                eighth = self.norm(eighth, "encoder.batch_norm", 1e-5)
            if h is None:
                h, c = (
                    functional.interpolate(
                        self.state[f"encoder.clstm.{k}"][None], eighth.shape[-2:], mode="bilinear", align_corners=True
                    )
                    for k in ("h0", "c0")
                )
            i, f, o, g = functional.conv2d(torch.cat([eighth, h], 1), weight, bias, padding="same").chunk(4, 1)
            i, f, o = (torch.sigmoid(gate + p * c) for gate, p in zip((i, f, o), peep, strict=True))
            c = f * c + i * act(g)
            h = o * act(c)
            logits.append(self.decoder(half, quarter, h))
        return torch.stack(logits)


def clip(frames=1, height=48, width=64):
    shape = (frames, 1, 3, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def normalize(rgb, mean, std, scale=1.0, flip=False):
    x = rgb.flip(-3) if flip else rgb
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1) * scale


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-3 * expected.abs().max().item(), rtol=0)


def load(path):
    return torch.load(path, map_location="cpu", weights_only=True)


@torch.inference_mode()
def test_espnet_for_camvid(official_weights):
    path = official_weights / CAMVID_FILE
    checkpoint, frame = import_weights(path), clip()[0]
    config = checkpoint.network.config
    assert (config.p, config.q, config.classes, config.cell) == (2, 8, 11, None)
    assert (config.input.channel_order, config.input.size) == ("bgr", (480, 360))
    assert checkpoint.labels == CAMVID
    assert checkpoint.about["source"] == path.name
    x = normalize(frame, config.input.mean, config.input.std, 1 / 255, flip=True)
    expected = Official(load(path)).espnet(x, 2, 8, skip_rgb=True)
    assert expected.shape[1] == 12
    assert_close(checkpoint.network(frame)[0], expected[:, :11])


@torch.inference_mode()
def test_espnet_for_cityscapes(official_weights):
    path = official_weights / CITYSCAPES_FILE
    checkpoint, frame = import_weights(path), clip()[0]
    config = checkpoint.network.config
    assert (config.p, config.q, config.classes, config.cell) == (2, 3, 19, None)
    assert (config.input.channel_order, config.input.size) == ("bgr", (1024, 512))
    assert checkpoint.labels == CITYSCAPES
    x = normalize(frame, *CITYSCAPES_BGR, 1 / 255, flip=True)
    expected = Official(load(path)).espnet(x, 2, 3, skip_rgb=False)
    assert expected.shape[1] == 20
    assert_close(checkpoint.network(frame)[0], expected[:, :19])


@torch.inference_mode()
def test_encoder_alone(official_weights):
    """The encoder is theirs, the decoder fresh."""
    path = official_weights / ENCODER_FILE
    network, frame = import_weights(path).network, clip()[0]
    assert (network.config.p, network.config.q, network.config.classes) == (2, 3, 19)
    half, _, *rest = Official(load(path)).encoder(normalize(frame, *CITYSCAPES_BGR, 1 / 255, flip=True), 2, 3, "")
    for mine, theirs in zip(network.encoder(network.normalize(frame)), (half, *rest), strict=True):
        assert_close(mine, theirs)
    assert network(frame)[0].isfinite().all()


class Release:
    """Random tensors under the names and in the shapes of an F2F release of ESPNet_L1b with p = 2, q = 1."""

    def __init__(self, kernel=3, activation="prelu", classes=CLASSES):
        self.state, self.random = {}, torch.Generator().manual_seed(4)
        self.conv("encoder.level1", 3, 16, 3)
        self.norm_act("encoder.level1", 16)
        self.norm_act("encoder.b1", 19)
        self.pyramid("encoder.level2_0", "encoder.level2_0", 19, 64, 3)
        for i in range(2):
            self.pyramid(f"encoder.level2.{i}", f"encoder.level2.{i}.bn", 64, 64, 1)
        self.norm_act("encoder.b2", 131)
        self.pyramid("encoder.level3_0", "encoder.level3_0", 131, 128, 3)
        self.pyramid("encoder.level3.0", "encoder.level3.0.bn", 128, 128, 1)
        self.norm_act("encoder.b3", 256)
        self.lstm(kernel, activation, classes)
        self.conv("level3_C", 131, classes, 1)
        self.norm("br", classes)
        self.conv("conv", 16 + classes, classes, 3)
        self.norm_act("conv", classes)
        self.tensor("up_l3.0.weight", classes, classes, 2, 2)
        self.norm_act("combine_l2_l3.0", 2 * classes)
        self.pyramid("combine_l2_l3.1", "combine_l2_l3.1.bn", 2 * classes, classes, 1)
        self.tensor("up_l2.0.weight", classes, classes, 2, 2)
        self.norm_act("up_l2.1", classes)
        self.tensor("classifier.weight", classes, classes, 2, 2)

    def tensor(self, name, *shape):
        self.state[name] = torch.randn(shape, generator=self.random) / max(1, shape[-1] * len(shape))

    def conv(self, name, inputs, outputs, kernel):
        self.tensor(f"{name}.conv.weight", outputs, inputs, kernel, kernel)

    def norm(self, name, channels):
        for part in ("weight", "bias", "running_mean"):
            self.state[f"{name}.{part}"] = torch.randn(channels, generator=self.random)
        self.state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=self.random)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def norm_act(self, name, channels):
        self.norm(f"{name}.bn", channels)
        self.state[f"{name}.act.weight"] = torch.rand(channels, generator=self.random)

    def pyramid(self, name, norm, inputs, outputs, kernel):
        narrow = outputs // 5
        self.conv(f"{name}.c1", inputs, narrow, kernel)
        for dilation in (1, 2, 4, 8, 16):
            self.conv(f"{name}.d{dilation}", narrow, outputs - 4 * narrow if dilation == 1 else narrow, 3)
        self.norm_act(norm, outputs)

    def lstm(self, kernel, activation, hidden):
        cell = "encoder.clstm.cell"
        self.tensor(f"{cell}.convolution.weight", 4 * hidden, 256 + hidden, kernel, kernel)
        self.state[f"{cell}.convolution.bias"] = torch.randn(4 * hidden, generator=self.random)
        self.state[f"{cell}.peephole_weights"] = torch.randn(3, hidden, generator=self.random)
        for name in ("h0", "c0"):
            self.state[f"encoder.clstm.{name}"] = torch.randn(hidden, *STATE_SIZE, generator=self.random)
        if activation == "prelu":
            self.state[f"{cell}.activation_function.weight"] = torch.tensor([0.3])
        if activation == "tanh":
            self.norm("encoder.batch_norm", 256)


def f2f_file(path, state, **how):
    torch.save({"model_name": "ESPNet_L1b", "model_state": state, "iter": 1, "batch_total": 1}, path, **how)
    return path


@pytest.mark.parametrize(("activation", "kernel"), [("prelu", 3), ("prelu", 5), ("tanh", 3), ("leaky_relu", 3)])
@torch.inference_mode()
def test_f2f_variants(tmp_path, activation, kernel):
    state, frames = Release(kernel, activation).state, clip(3)
    checkpoint = import_weights(f2f_file(tmp_path / "l1b.pkl", state))
    config = checkpoint.network.config
    assert (config.p, config.q, config.classes) == (2, 1, CLASSES)
    assert (config.cell.position, config.cell.kernel, config.cell.activation) == ("L1b", kernel, activation)
    assert config.cell.state_size == STATE_SIZE
    assert config.input.channel_order == "rgb"
    assert checkpoint.labels == CITYSCAPES
    expected = Official(state).l1b(normalize(frames, *F2F_RGB), 2, 1, activation)
    assert_close(unroll(checkpoint.network, frames)[0], expected)


FORMS = {
    "prefixed": lambda state: {f"module.{k}": v for k, v in state.items()},
    "repeated": lambda state: state | {f"modules.{k}": v + 1 for k, v in state.items()},
    "both": lambda state: {f"module.{p}{k}": v for k, v in state.items() for p in ("", "modules.", "encoder.modules.")},
    "parameters": lambda state: {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()},
    "state with batch": lambda state: {k: v[None] if k.endswith(("h0", "c0")) else v for k, v in state.items()},
    "no counters": lambda state: {k: v for k, v in state.items() if v.is_floating_point()},
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_f2f_forms(tmp_path, form, zipped):
    state = Release().state
    plain = import_weights(f2f_file(tmp_path / "plain.pkl", state)).network
    path = f2f_file(tmp_path / "other.pkl", FORMS[form](state), _use_new_zipfile_serialization=zipped)
    other = import_weights(path).network
    assert other.config == plain.config
    for name, tensor in plain.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(other.state_dict()[name], tensor), name


def test_imported_weights_can_be_saved(tmp_path):
    imported = import_weights(f2f_file(tmp_path / "l1b.pkl", Release().state))
    imported.save(tmp_path / "l1b.safetensors")
    loaded = load_checkpoint(tmp_path / "l1b.safetensors")
    assert (loaded.network.config, loaded.about) == (imported.network.config, imported.about)


def refusal(path):
    """Return the one line with which ``path`` is refused."""
    with pytest.raises(UserError) as caught:
        import_weights(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    return message


def test_missing_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.pth")
    assert "does not exist" in refusal(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello\n", b"\x80\x02.", b"PK\x03\x04 not really", bytes(range(256))])
def test_files_of_another_kind(tmp_path, data):
    (tmp_path / "odd.pth").write_bytes(data)
    refusal(tmp_path / "odd.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_truncated_file(tmp_path, share, zipped):
    path = f2f_file(tmp_path / "cut.pth", Release().state, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refusal(path)


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("dump", [lambda x, p: p.write_bytes(pickle.dumps(x, 2)), torch.save], ids=["pickle", "torch"])
def test_a_malicious_pickle_does_nothing(tmp_path, dump):
    dump({"model_state": Bomb(tmp_path / "mark")}, tmp_path / "bomb.pth")
    refusal(tmp_path / "bomb.pth")
    assert not (tmp_path / "mark").exists()
    os.system(f"touch '{tmp_path / 'mark'}'")
    assert (tmp_path / "mark").exists(), "the bomb works"


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(2)],
        torch.zeros(2),
        3,
        {},
        {"weight": torch.zeros(2)},
        {0: torch.zeros(2)},
        {"model_state": None},
        {"model_state": [1, 2]},
        {"model_state": {"weight": torch.zeros(2)}},
        {"level1.conv.weight": torch.zeros(16, 3, 3, 3)},
        {"encoder.level1.conv.weight": 3},
    ],
    ids=repr,
)
def test_contents_of_another_kind(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    refusal(tmp_path / "odd.pth")


def not_refused(path, state, change):
    """Change one tensor at a time; return those with which the file is not refused, or not in one line."""
    bad = {}
    for name in [name for name in state if not name.endswith("num_batches_tracked")]:
        try:
            refusal(f2f_file(path, change(state, name)))
        except (Exception, pytest.fail.Exception) as error:  # a raw error is as bad as none
            bad[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return bad


def test_every_tensor_is_needed(tmp_path):
    state = Release(activation="leaky_relu").state  # with prelu, one tensor less is another activation
    assert not_refused(tmp_path / "odd.pth", state, lambda s, n: {k: v for k, v in s.items() if k != n}) == {}


def test_every_tensor_needs_its_shape(tmp_path):
    state = Release().state
    assert not_refused(tmp_path / "odd.pth", state, lambda s, n: s | {n: torch.cat([s[n], s[n][:1]])}) == {}


@pytest.mark.parametrize(
    "extra", ["extra.weight", "encoder.extra", "encoder.level2.7.c1.conv.weight", "encoder.x.bias"]
)
def test_no_tensor_may_be_left(tmp_path, extra):
    refusal(f2f_file(tmp_path / "odd.pth", Release().state | {extra: torch.zeros(2)}))


@pytest.mark.parametrize("classes", [5, 15, 30])
def test_unknown_label_sets_are_refused(tmp_path, classes):
    """No label set has as many classes, with or without void: nothing may be cut off or made up."""
    refusal(f2f_file(tmp_path / "odd.pth", Release(classes=classes).state))


def test_even_kernel(tmp_path):
    refusal(f2f_file(tmp_path / "odd.pth", Release(kernel=4).state))


def test_damaged_official_file(official_weights, tmp_path):
    state = load(official_weights / CITYSCAPES_FILE)
    del state["classifier.weight"]
    torch.save(state, tmp_path / "odd.pth")
    refusal(tmp_path / "odd.pth")
