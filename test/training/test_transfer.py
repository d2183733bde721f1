import pytest
import torch

from test.conftest import SIZE, tiny_network
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES, LabelSet
from vidseg_ros.networks import build, unroll
from vidseg_ros.networks.config import CellConfig, InputConfig
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.networks.ssnet import SSNetConfig
from vidseg_ros.training.transfer import transfer


@pytest.mark.parametrize("position", ["L1a", "L1b", "L1c", "L1d"])
def test_single_frame_network_starts_one_with_memory(position):
    """A standing camera: the network with memory comes close to the labels of the one it began as."""
    single, video = tiny_network(None, seed=1), tiny_network(position, seed=2, kernel=3)
    transfer(Checkpoint(single, CAMVID), video, CAMVID)
    assert torch.equal(video.encoder.down2.reduce.weight, single.encoder.down2.reduce.weight)
    with torch.no_grad():
        frame = torch.rand(1, 3, SIZE[1], SIZE[0]) * 255
        static = single(frame)[0]
        moving = unroll(video, frame.expand(12, 1, -1, -1, -1))[0][-1]
    assert (moving.argmax(1) == static.argmax(1)).float().mean() > 0.9


def test_a_memory_is_taken_over_as_it_is():
    first, second = tiny_network("L1b", seed=1), tiny_network("L1b", seed=2)
    transfer(Checkpoint(first, CAMVID), second, CAMVID)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_classes_are_translated():
    def make(classes, seed):
        torch.manual_seed(seed)
        return build(ESPNetConfig(classes=classes, p=0, q=0, decoder_channels=20, input=InputConfig(SIZE)))

    city, camvid = make(19, 0), make(11, 1)
    transfer(Checkpoint(city, CITYSCAPES), camvid, CAMVID)
    source, target = city.head.weight, camvid.head.weight
    pairs = {"road": ["road"], "sign": ["traffic light", "traffic sign"], "tree": ["vegetation", "terrain"]}
    for name, counterparts in pairs.items():
        expected = torch.stack([source[:, CITYSCAPES.id_of(c)] for c in counterparts]).mean(0)
        torch.testing.assert_close(target[:, CAMVID.id_of(name)], expected)
    assert torch.equal(city.merge[1].reduce.weight, camvid.merge[1].reduce.weight)


def test_classes_without_counterpart_stay_fresh():
    torch.manual_seed(0)
    camvid, city = (build(ESPNetConfig(classes=n, p=0, q=0, decoder_channels=20)) for n in (11, 19))
    before = city.head.weight.clone()
    transfer(Checkpoint(camvid, CAMVID), city, CITYSCAPES)
    assert torch.equal(city.head.weight[:, CITYSCAPES.id_of("train")], before[:, CITYSCAPES.id_of("train")])
    assert torch.equal(city.head.weight[:, CITYSCAPES.id_of("car")], camvid.head.weight[:, 8])


def test_another_architecture_gives_nothing():
    other = build(SSNetConfig(classes=5, input=InputConfig(SIZE)))
    with pytest.raises(UserError, match="the start has no tensor that fits"):
        transfer(Checkpoint(tiny_network(None), CAMVID), other, LabelSet("few", tuple("abcde"), ((0, 0, 0),) * 5))


@pytest.mark.parametrize("position", ["L1a", "L1b", "L1c", "L1d", None])
@pytest.mark.parametrize("kernel", [1, 5])
def test_another_decoder_width_takes_what_fits_and_lists_the_rest(position, kernel):
    """It crashed in the cell, which has the channels of the decoder."""
    cell = CellConfig(position, kernel, state_size=(8, 12)) if position else None
    narrow = tiny_network(None, seed=1)
    wide = build(ESPNetConfig(p=1, q=1, decoder_channels=20, cell=cell, input=InputConfig(SIZE)))
    left = transfer(Checkpoint(narrow, CAMVID), wide, CAMVID)
    assert torch.equal(wide.encoder.down2.reduce.weight, narrow.encoder.down2.reduce.weight)
    assert {"head.weight", "reductions.L1c.weight"} <= set(left)
    assert not any(name.startswith("encoder") for name in left)
