"""What every network must do, whatever stands at its positions: the test of a family subclasses this tester.

Eight lines are enough:

    class TestMyNet(StreamingNetworkTester):
        config = MyNetConfig(classes=5)
        parameters = 123_456  # of the paper, at 19 classes

"""

import copy
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from vidseg_ros.checkpoints.checkpoint import Checkpoint, InferenceConfig, load_checkpoint
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.opening import open_engine
from vidseg_ros.engines.step import InferenceStep
from vidseg_ros.errors import UserError
from vidseg_ros.labels import LabelSet
from vidseg_ros.networks import build, unroll
from vidseg_ros.networks.config import CellConfig, NetworkConfig
from vidseg_ros.networks.gated_flow import GatedFlowConfig
from vidseg_ros.networks.positions import AUXILIARY
from vidseg_ros.networks.stgru import STGRUConfig

SIZES = [(64, 96), (45, 61), (33, 32)]
CPU = EngineConfig(device="cpu", threads=1)


def frames(*shape, seed=1):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


class StreamingNetworkTester:
    """Checks a family by itself and with a small memory at each of its positions."""

    config: ClassVar[NetworkConfig]
    parameters: ClassVar[int]  # as published, at ``published_classes``
    published_classes: ClassVar[int] = 19
    positions: ClassVar[tuple[str | None, ...]] = ()  # of a memory in the tests; (): all, and none

    def pytest_generate_tests(self, metafunc):
        if "position" in metafunc.fixturenames:
            everywhere = (None, *self.family().all_positions(self.config))
            metafunc.parametrize("position", self.positions or everywhere)

    @classmethod
    def family(cls):
        return type(build(cls.config))

    def make(self, position=None, seed=0, **cell):
        """The network with weights that label something, a depthwise cell where it may be one, and statistics."""
        torch.manual_seed(seed)
        place = self.family().all_positions(self.config).get(position)
        square = place is not None and place.in_channels == place.out_channels
        kind = {"convolution": "depthwise" if square else "standard", "state_size": (4, 6)} | cell
        network = build(replace(self.config, cell=CellConfig(position, **kind) if position else None))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
                torch.nn.init.normal_(module.running_mean, std=0.1)
                torch.nn.init.normal_(module.bias, std=0.1)
        if network.cell is not None:
            torch.nn.init.normal_(network.cell.h0)
            torch.nn.init.normal_(network.cell.c0)
        return network.eval()

    def labels(self):
        return LabelSet("few", tuple("abcdefghijk"[: self.config.classes]), ((1, 2, 3),) * self.config.classes)

    def test_parameters_are_those_of_the_paper(self):
        network = build(replace(self.config, classes=self.published_classes))
        assert sum(parameter.numel() for parameter in network.parameters()) == self.parameters

    @pytest.mark.parametrize(("height", "width"), SIZES)
    def test_any_size_and_batch(self, position, height, width):
        network = self.make(position)
        logits, state = network(frames(2, 3, height, width))
        assert logits.shape == (2, self.config.classes, height, width)
        assert [t.shape for t in state] == [t.shape for t in network.initial_state(2, height, width)]
        assert len(state) == len(network.state_names) == (2 if position else 0)

    def test_steps_equal_unroll_and_memory_matters(self, position):
        network, clip = self.make(position), frames(3, 1, 3, 45, 61)
        logits, _ = unroll(network, clip)
        state = None
        for frame, expected in zip(clip, logits, strict=True):
            output, state = network(frame, state)
            torch.testing.assert_close(output, expected)
        fresh, _ = network(clip[-1])
        assert torch.equal(fresh, logits[-1]) == (position is None)
        begun, _ = network(clip[-1], network.initial_state(1, 45, 61))
        torch.testing.assert_close(begun, fresh)

    def test_training_can_watch_every_position(self):
        places = self.family().all_positions(self.config)
        watch = {name: [] for name in places}
        unroll(self.make(), frames(2, 1, 3, 64, 96), watch=watch)
        for name, place in places.items():
            shape = (1, place.in_channels, 64 // place.stride, 96 // place.stride)
            assert [tensor.shape for tensor in watch[name]] == [shape, shape]

    def test_batch_members_do_not_mix(self, position):
        network, clip = self.make(position), frames(2, 2, 3, 33, 47)
        torch.testing.assert_close(
            unroll(network, clip)[0][:, 1:], unroll(network, clip[:, 1:])[0], atol=1e-4, rtol=1e-4
        )

    def test_every_parameter_learns(self, position):
        network, watch = self.make(position).train(), {AUXILIARY: []}
        logits, _ = unroll(network, frames(2, 2, 3, 64, 96), watch=watch)
        assert len(watch[AUXILIARY]) == (2 if network.auxiliary else 0)
        sum(said.square().mean() for said in (logits, *watch[AUXILIARY])).backward()
        idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert idle == []
        moved = [p.grad.abs().sum() > 0 for name, p in network.named_parameters()]
        assert sum(moved) > 0.9 * len(moved)

    def test_the_form_for_inference_says_the_same(self, position):
        network, clip = self.make(position), frames(2, 1, 3, 45, 61)
        folded = network.for_inference()
        expected, got = unroll(network, clip)[0], unroll(folded, clip)[0]
        assert (expected - got).abs().max() < 1e-4 * expected.abs().max()
        assert folded.auxiliary is None
        assert not any(isinstance(m, torch.nn.Dropout2d) for m in folded.modules())
        left = [n for n, m in folded.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert len(left) <= 1 + sum(isinstance(m, torch.nn.BatchNorm2d) for m in [folded.cell])

    def test_subpixel_logits_are_the_logits(self, position):
        network, frame = self.make(position).for_inference(), frames(1, 3, 44, 64)
        planes, _ = network.subpixel_logits(frame)
        assert (len(planes), *planes[0].shape[-2:]) == network.subpixel_shape(44, 64)
        pixels = torch.stack(planes, 2).flatten(1, 2)
        whole = torch.nn.functional.pixel_shuffle(pixels, 2 if len(planes) == 4 else 1)[..., :44, :64]
        torch.testing.assert_close(whole, network(frame)[0], atol=1e-4, rtol=1e-4)

    def test_a_memory_along_the_flow_and_hysteresis_go_around_it(self, position):
        """At an odd size: the first labels are those of the network, and what is remembered comes back in shape."""
        network, (first, second) = self.make(position), frames(2, 1, 45, 61, 3)
        step = InferenceStep(network, inference=InferenceConfig(hysteresis=0.1, memory="flow"))
        flow, state = torch.zeros(1, 2, 45, 61), step.initial_state(45, 61)
        with torch.inference_mode():
            labels, *after = step(first, flow, *state)
            assert step.state_names == (*network.state_names, "posterior", "picture", "last")
            assert [t.shape for t in after] == [t.shape for t in state]
            expected = network(first.permute(0, 3, 1, 2), network.initial_state(1, 45, 61))[0].argmax(1)
            assert (labels == expected).float().mean() > 0.99
            assert step(second, flow, *after)[0].shape == (1, 45, 61)

    @pytest.mark.parametrize("propagation", [STGRUConfig(kernel=3), GatedFlowConfig()], ids=lambda kind: kind.name)
    def test_what_is_trained_to_follow_the_flow_goes_around_it(self, propagation):
        """At an odd size: the first frame is that of the network alone, later ones are not; the folded form agrees."""
        plain = self.make()
        network = build(replace(self.config, propagation=propagation)).eval()
        network.load_state_dict(network.state_dict() | plain.state_dict())
        first = frames(1, 3, 45, 61)
        clip, flow = torch.stack([first, first.clamp(max=250) + 5]), torch.zeros(2, 1, 2, 45, 61)
        with torch.no_grad():
            logits, state = unroll(network, clip, network.initial_state(1, 45, 61), flow)
            torch.testing.assert_close(logits[0], plain(first)[0])
            assert not torch.allclose(logits[1], plain(clip[1])[0])
            assert [t.shape for t in state] == [t.shape for t in network.initial_state(1, 45, 61)]
            folded, _ = unroll(network.for_inference(), clip, flow=flow)
        assert (folded - logits).abs().max() < 1e-3 * logits.abs().max()

    def test_saved_and_loaded(self, position, tmp_path):
        checkpoint = Checkpoint(self.make(position), self.labels())
        checkpoint.save(tmp_path / "x.safetensors")
        again = load_checkpoint(tmp_path / "x.safetensors")
        assert again.network.config == checkpoint.network.config
        frame = frames(1, 3, 45, 61)
        assert torch.equal(again.network(frame)[0], checkpoint.network(frame)[0])

    @pytest.mark.parametrize("engine", ["openvino"])  # conversion to ONNX takes a minute for deep networks
    def test_engines_give_the_labels_of_pytorch(self, engine):
        pytest.importorskip(engine)
        position = next(iter(self.family().all_positions(self.config)))
        checkpoint = Checkpoint(self.make(position), self.labels())
        mine, theirs = TorchEngine(checkpoint, CPU), open_engine(checkpoint, replace(CPU, engine=engine))
        state, other = [None], [None]
        for seed in range(2):
            frame = frames(1, 64, 96, 3, seed=seed).numpy()
            expected, state = mine.step(frame, state)
            got, other = theirs.step(frame, other)
            assert np.mean(expected.labels == got.labels) > 0.999

    def test_positions_that_a_network_has_not(self):
        with pytest.raises(UserError, match=rf"cell.position of {self.config.name} is 'nowhere'; use one of "):
            build(replace(self.config, cell=CellConfig("nowhere")))

    def test_copies_are_independent(self):
        network = self.make()
        other = copy.deepcopy(network).requires_grad_(False)
        next(network.parameters()).data.add_(1.0)
        assert not torch.equal(next(network.parameters()), next(other.parameters()))
