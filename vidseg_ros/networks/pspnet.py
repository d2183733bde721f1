"""PSPNet (Zhao et al. 2017) on the backbones of ETC (Liu et al. 2020): ResNet-18, ResNet-101 and MobileNetV2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vidseg_ros.errors import UserError
from vidseg_ros.networks.blocks import Bilinear, PyramidPooling, conv, normed
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.mobilenetv2 import MobileNetV2
from vidseg_ros.networks.resnet import resnet18, resnet101
from vidseg_ros.networks.streaming import At, StreamingNetwork
from vidseg_ros.schema import require_one_of

BINS = (1, 2, 3, 6)  # of the pyramid pooling, a side
DROPOUT = 0.1  # of whole channels, before a classifier
AUXILIARY_WIDTH = 256


@dataclass(frozen=True)
class Backbone:
    """What makes features at 1/8: channels of the middle and the deepest ones, and the width of the paper's head."""

    make: Callable[[], nn.Module]
    middle: int
    deep: int
    width: int


BACKBONES = {
    "resnet18": Backbone(resnet18, 256, 512, 128),
    "resnet101": Backbone(resnet101, 1024, 2048, 512),
    "mobilenetv2": Backbone(MobileNetV2, 96, 320, 128),
}


@dataclass(frozen=True)
class PSPNetConfig(NetworkConfig):
    """PSPNet's own fields; the defaults give the parameters of table 4 of the ETC paper, auxiliary head included."""

    name: str = "pspnet"
    backbone: str = "resnet18"  # one of BACKBONES
    pooled_channels: int = 0  # of each of the four grids; 0: 128, and 512 with resnet101
    head_channels: int = 0  # before the classifier; 0: 128, and 512 with resnet101; the released ETC files have 256

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of("network.backbone", self.backbone, BACKBONES)
        for key in ("pooled_channels", "head_channels"):
            if getattr(self, key) < 0:
                raise UserError(f"{key} is {getattr(self, key)}; it must not be negative")


class PSPNet(StreamingNetwork):
    """Two kinds of features at 1/8: the deepest beside their means over grids, classified; the middle ones, for an
    auxiliary loss in training, classified by themselves.
    """

    config: PSPNetConfig
    auxiliary_position = "middle"

    def __init__(self, config: PSPNetConfig) -> None:
        super().__init__(config)
        backbone = BACKBONES[config.backbone]
        pooled, width = config.pooled_channels or backbone.width, config.head_channels or backbone.width
        self.encoder = backbone.make()
        self.pooling = PyramidPooling(BINS, lambda: normed(conv(backbone.deep, pooled, 1), nn.ReLU()))
        self.classifier = classifier(backbone.deep + len(BINS) * pooled, width, config.classes)
        self.auxiliary = classifier(backbone.middle, AUXILIARY_WIDTH, config.classes)
        self.head = Bilinear(8, align_corners=True)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        assert isinstance(config, PSPNetConfig)
        backbone = BACKBONES[config.backbone]
        return {"deep": Position(backbone.deep, backbone.deep, 8)}

    def features(self, frame: Tensor) -> Tensor:
        return self.encoder(self.normalize(frame))[-1]  # type: ignore[no-any-return]

    def body(self, x: Tensor, at: At) -> Tensor:
        norms = (module for module in self.pooling.modules() if isinstance(module, nn.BatchNorm2d))
        if any(norm.training for norm in norms) and x.shape[0] == 1:
            raise UserError("pspnet normalises one pooled value per frame over the batch; train with batch: 2 or more")
        middle, deep = self.encoder(x)
        at("middle", middle)
        return self.classifier(self.pooling(at("deep", deep)))  # type: ignore[no-any-return]


def classifier(in_channels: int, width: int, classes: int) -> nn.Sequential:
    """Return a 3x3 convolution to ``width`` channels, dropout and the 1x1 classifier."""
    return nn.Sequential(
        normed(conv(in_channels, width, 3), nn.ReLU()), nn.Dropout2d(DROPOUT), conv(width, classes, 1, bias=True)
    )
