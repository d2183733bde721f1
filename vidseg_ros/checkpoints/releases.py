"""Names in files of others, and ours: light networks for Cityscapes (realtime-semantic-segmentation-pytorch,
Apache-2.0), PSPNet of ETC, backbones trained on ImageNet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from vidseg_ros.networks.config import InputConfig

RELEASED_INPUT = InputConfig((1024, 512), "rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Input of the light networks: RGB with the mean and standard deviation of ImageNet."""

Renames = tuple[tuple[str, str], ...]
"""Pairs of a regular expression and what replaces it, applied one after the other."""


def rename_all(state: Mapping[str, Tensor], renames: Renames) -> dict[str, Tensor]:
    """Tensors under their names here."""
    return {_rename(key, renames): value for key, value in state.items()}


def _rename(key: str, renames: Renames) -> str:
    for pattern, replacement in renames:
        key = re.sub(pattern, replacement, key)
    return key


FDDWNET: Renames = (
    (r"^layer1\.", "quarter.0."),
    (r"^layer2\.", "quarter.1."),
    (r"^layer8\.", "eighth.0."),
    (r"^layer25\.up_conv\.", "up_quarter.0."),
    (r"^layer28\.up_conv\.", "up_half.0."),
    (r"^layer31\.up_conv\.", "head.layers."),
    *((rf"^layer3_7\.{i}\.conv\.", f"quarter.{i + 2}.layers.") for i in range(5)),
    *((rf"^layer9_16\.{i}\.conv\.", f"eighth.{i + 1}.layers.") for i in range(8)),
    *((rf"^layer17_24\.{i}\.conv\.", f"eighth.{i + 9}.layers.") for i in range(8)),
    *((rf"^layer26_27\.{i}\.conv\.", f"up_quarter.{i + 1}.layers.") for i in range(2)),
    *((rf"^layer29_30\.{i}\.conv\.", f"up_half.{i + 1}.layers.") for i in range(2)),
)

MININETV2: Renames = (
    (r"\.dw_conv\.", ".depthwise.0."),
    (r"\.ddw_conv\.", ".depthwise.1."),
    (r"\.pw_conv\.", ".pointwise."),
    (r"^d1_2\.", "quarter."),
    (r"^ref\.", "refinement."),
    (r"^d3\.", "eighth.0."),
    (r"^up1\.up_conv\.", "up_quarter."),
    (r"^m26_29\.", "up_half."),
    (r"^output\.up_conv\.", "up_half.4."),
    *((rf"^m1_10\.{i}\.", f"quarter.{i + 2}.") for i in range(10)),
    *((rf"^feature_extractor\.{i}\.", f"eighth.{i + 1}.") for i in range(16)),
)

ESPNETV2: Renames = (
    (r"\.activation\.", "."),
    (r"^l1_block\.", "level1."),
    (r"^l([34])_block2\.(\d)\.", r"level\1.\2.pyramid."),
    (r"^l([234])_block1?\.conv_stride\.", r"down\1.shortcut."),
    (r"^l([234])_block1?\.", r"down\1.pyramid."),
    (r"\.conv_init\.", ".reduce."),
    (r"\.layers\.", ".branches."),
    (r"\.conv_last\.", ".expand."),
    (r"^convl4_l3\.", "reduce."),
    (r"^ppm\.conv\.", "pooling.merge."),
    *((rf"^ppm\.stage{i + 1}\.", f"pooling.grids.{i}.") for i in range(4)),
    (r"^decoder\.", "classifier."),
)

DABNET: Renames = (
    (r"\.activation\.", "."),
    *((rf"^layer{i + 1}\.", f"stem.{i}.") for i in range(3)),
    (r"^layer4\.", "down_quarter."),
    (r"^layer5_7\.", "quarter."),
    (r"^layer8\.", "down_eighth."),
    (r"^layer15\.", "classifier."),
    *((rf"^layer9_10\.{i}\.", f"eighth.{i}.") for i in range(2)),
    *((rf"^layer11_12\.{i}\.", f"eighth.{i + 2}.") for i in range(2)),
    *((rf"^layer13_14\.{i}\.", f"eighth.{i + 4}.") for i in range(2)),
    (r"\.init_conv\.", ".reduce."),
    (r"\.left_branch\.", ".near."),
    (r"\.right_branch\.", ".far."),
    (r"\.last_conv\.", ".expand."),
)

CFPNET: Renames = (
    (r"\.activation\.", "."),
    (r"^conv_init\.", "stem."),
    (r"^downsample1\.", "quarter.0."),
    (r"^downsample2\.", "eighth.0."),
    *((rf"^cfp1\.{i}\.", f"quarter.{i + 1}.") for i in range(2)),
    *((rf"^cfp2\.{i}\.", f"eighth.{i + 1}.") for i in range(6)),
    (r"^seg_head\.", "classifier."),
    (r"\.conv_init\.", ".reduce."),
    (r"\.conv_last\.", ".expand."),
    (r"\.layers\.", ".branches."),
    *((rf"\.block{i + 1}\.", f".layers.{i}.") for i in range(3)),
)

RELEASES = {"cfpnet": CFPNET, "dabnet": DABNET, "espnetv2": ESPNETV2, "fddwnet": FDDWNET, "mininetv2": MININETV2}
"""Family of networks -> from the names in its released file to ours."""

RESNET: Renames = (
    (r"\.conv([123])\.", r".layers.\1.0."),
    (r"\.bn([123])\.", r".layers.\1.1."),
    *((rf"\.layers\.{i + 1}\.", f".layers.{i}.") for i in range(3)),
    (r"\.downsample\.", ".shortcut."),
    *((rf"^layer{i + 1}\.", f"encoder.stages.{i}.") for i in range(4)),
)
"""Blocks of torchvision's ResNet, which PSPNet's code took over."""

TORCHVISION_RESNET: Renames = (
    *RESNET,
    *((rf"^conv{i + 1}\.", f"encoder.stem.{i}.0.") for i in range(3)),
    *((rf"^bn{i + 1}\.", f"encoder.stem.{i}.1.") for i in range(3)),
)

ETC: Renames = (
    *RESNET,
    *((rf"^layer0\.{3 * i + j}\.", f"encoder.stem.{i}.{j}.") for i in range(3) for j in range(2)),
    (r"^ppm\.features\.(\d)\.1\.", r"pooling.grids.\1.1.0."),
    (r"^ppm\.features\.(\d)\.2\.", r"pooling.grids.\1.1.1."),
    (r"^cls\.", "classifier."),
    (r"^aux\.", "auxiliary."),
    (r"^(classifier|auxiliary)\.([01])\.", r"\1.0.\2."),
    (r"^(classifier|auxiliary)\.4\.", r"\1.2."),
)
"""PSPNet of the ETC release (irfanICMLL/ETC-Real-time-Per-frame-Semantic-video-segmentation) and of semseg."""

HUGGING_FACE: Renames = ((r"\.convolution\.", ".0."), (r"\.normalization\.", ".1."))

HUGGING_FACE_RESNET: Renames = (
    (r"^embedder\.embedder\.", "encoder.stem.0."),
    (r"\.layer\.", ".layers."),
    (r"^encoder\.stages\.(\d)\.layers\.", r"encoder.stages.\1."),
    *HUGGING_FACE,
)

MOBILENETV2_DEPTHS = (2, 3, 4, 3, 3, 1)  # of the stages behind the first
HUGGING_FACE_MOBILENETV2: Renames = (
    (r"^conv_stem\.first_conv\.", "encoder.stem."),
    (r"^conv_stem\.conv_3x3\.", "encoder.stages.0.0.layers.0."),
    (r"^conv_stem\.reduce_1x1\.", "encoder.stages.0.0.layers.1."),
    *(
        (rf"^layer\.{sum(MOBILENETV2_DEPTHS[:stage]) + block}\.", f"encoder.stages.{stage + 1}.{block}.layers.")
        for stage, depth in enumerate(MOBILENETV2_DEPTHS)
        for block in range(depth)
    ),
    (r"\.expand_1x1\.", ".0."),
    (r"\.conv_3x3\.", ".1."),
    (r"\.reduce_1x1\.", ".2."),
    *HUGGING_FACE,
)
