from test.networks.released import ReleasedNetworkTester
from vidseg_ros.networks.mininetv2 import MiniNetV2Config


class TestMiniNetV2(ReleasedNetworkTester):
    config = MiniNetV2Config(classes=5)
    parameters = 507_243
    release = "mininetv2_crop-1024_800epoch.pth"
