import pytest
import torch

from test.networks.tester import StreamingNetworkTester
from vidseg_ros.errors import UserError
from vidseg_ros.networks import build
from vidseg_ros.networks.config import CellConfig
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.networks.ssnet import SSNetConfig

CELL = CellConfig("last", state_size=(8, 12))
BODY = 9 * 64 * (3 + 4 * 64) + 5 * 3 * 64  # 3 -> 64, four times 64 -> 64; batch norm and PReLU add three a channel


class TestSSNet(StreamingNetworkTester):
    config = SSNetConfig(classes=5)
    published_classes = 5
    parameters = BODY + 9 * 64 * 5 + 5

    def test_vssnet_has_a_cell_in_place_of_the_last_convolution(self):
        network = build(SSNetConfig(classes=5, cell=CELL))
        learned = network.cell.h0.numel() + network.cell.c0.numel()
        assert sum(p.numel() for p in network.parameters()) == BODY + 4 * 69 * 9 * 5 + 7 * 5 + 1 + learned

    @pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
    def test_engines_give_the_labels_of_pytorch(self, engine):
        super().test_engines_give_the_labels_of_pytorch(engine)

    def test_a_pixel_sees_a_window_of_29(self):
        """1 + 2 (1 + 1 + 2 + 2 + 4 + 4) pixels a side."""
        network, frame = self.make(), torch.zeros(1, 3, 41, 41, requires_grad=True)
        network(frame)[0][0, :, 20, 20].sum().backward()
        rows, columns = frame.grad[0].abs().sum(0).nonzero(as_tuple=True)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 34, 6, 34)


def test_cell_positions_belong_to_networks():
    with pytest.raises(UserError, match=r"cell\.position of espnet is 'last'; use one of L1b, L1c, L1d, L1a"):
        build(ESPNetConfig(cell=CELL))
