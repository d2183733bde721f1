import torch

from test.networks.tester import StreamingNetworkTester
from vidseg_ros.benchmark import multiply_adds_of
from vidseg_ros.networks import build
from vidseg_ros.networks.hrnet import HRNetConfig


class TestHRNet(StreamingNetworkTester):
    config = HRNetConfig(classes=5)
    parameters = 3_939_579  # 3.9 M (ETC paper, table 4)
    positions = ("deep",)


def test_published_multiply_adds():
    """Those of the HRNet paper for W18-Small-v2 at the size of Cityscapes, which it counts in units of 2^30."""
    with torch.device("meta"):
        network = build(HRNetConfig(classes=19)).eval()
    assert round(multiply_adds_of(network, (2048, 1024)) * 1e9 / 2**30, 1) == 71.6
