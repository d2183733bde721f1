from test.networks.released import ReleasedNetworkTester
from vidseg_ros.networks.espnetv2 import ESPNetV2Config


class TestESPNetV2(ReleasedNetworkTester):
    config = ESPNetV2Config(classes=5)
    parameters = 862_032
    release = "espnetv2_crop-1024_800epoch.pth"
