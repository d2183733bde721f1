"""PSPNet from the files of others: the ETC release (Liu et al. 2020), and backbones trained on ImageNet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vidseg_ros.checkpoints.checkpoint import Checkpoint, require_finite_weights, without_denormals
from vidseg_ros.checkpoints.releases import (
    ETC,
    HUGGING_FACE_MOBILENETV2,
    HUGGING_FACE_RESNET,
    RELEASED_INPUT,
    TORCHVISION_RESNET,
    Renames,
    rename_all,
)
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES
from vidseg_ros.networks import build
from vidseg_ros.networks.config import InputConfig
from vidseg_ros.networks.pspnet import PSPNetConfig

ETC_INPUT = InputConfig((2048, 1024), "rgb", RELEASED_INPUT.mean, RELEASED_INPUT.std)
SYMMETRIC_INPUT = InputConfig(RELEASED_INPUT.size, "rgb", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
PREFIX = r"^(student\.|resnet\.|mobilenet_v2\.)"
OTHERS = r"^(teacher|flownet|flow_warp|criterion)"  # what the training code of ETC saves beside its student
EPSILON = 1e-3 - 1e-5  # by which the batch norms of transformers' MobileNetV2 differ


@dataclass(frozen=True)
class Kind:
    """A kind of file: the name of a tensor by which it is known, its names, and the input of its network."""

    name: str
    mark: str
    renames: Renames
    input: InputConfig
    whole: bool = False  # else a backbone


KINDS = (
    Kind("etc", "layer0.0.weight", ETC, ETC_INPUT, whole=True),
    Kind("resnet of torchvision", "layer1.0.conv1.weight", TORCHVISION_RESNET, RELEASED_INPUT),
    Kind("resnet of transformers", "embedder.embedder.convolution.weight", HUGGING_FACE_RESNET, RELEASED_INPUT),
    Kind(
        "mobilenetv2 of transformers",
        "conv_stem.first_conv.convolution.weight",
        HUGGING_FACE_MOBILENETV2,
        SYMMETRIC_INPUT,
    ),
)


def import_pspnet(path: Path, state: Mapping[str, Tensor]) -> Checkpoint | None:
    """The PSPNet of which these tensors are the whole, or the backbone; None where they are neither.

    A backbone gets a fresh head, for the classes of Cityscapes. Raises UserError for a PSPNet of another build.
    """
    own = {re.sub(PREFIX, "", key): value for key, value in state.items() if not re.match(OTHERS, key)}
    kind = next((kind for kind in KINDS if kind.mark in own), None)
    if kind is None:
        return None
    tensors = {key: without_denormals(value) for key, value in rename_all(own, kind.renames).items()}
    if not kind.whole:
        tensors = {key: value for key, value in tensors.items() if key.startswith("encoder.")}
    if kind.renames is HUGGING_FACE_MOBILENETV2:
        tensors |= {key: value + EPSILON for key, value in tensors.items() if key.endswith("running_var")}
    try:
        require_finite_weights(tensors)
        return _fill(path, kind, tensors)
    except (KeyError, IndexError, RuntimeError, UserError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"'{path}' is a PSPNet or backbone of another build ({reason}); import a released file"
        ) from error


def _fill(path: Path, kind: Kind, tensors: Mapping[str, Tensor]) -> Checkpoint:
    """Load ``tensors`` into the network that they fit. Raises KeyError for what is missing or left."""
    config = _describe(kind, tensors)
    labels = next((known for known in (CAMVID, CITYSCAPES) if len(known) == config.classes), None)
    if labels is None:
        raise UserError(f"{config.classes} outputs, where CamVid has 11 and Cityscapes 19")
    network = build(config)
    fresh = ("auxiliary.",) if kind.whole else ("auxiliary.", "classifier.", "pooling.")
    missing, unexpected = network.load_state_dict(dict(tensors), strict=False)
    for key in (*unexpected, *(key for key in missing if not key.startswith(fresh))):
        if not key.endswith("num_batches_tracked"):
            raise KeyError(key)
    name = kind.name if kind.whole else f"{kind.name}; the head is untrained"
    return Checkpoint(network.eval(), labels, {"source": path.name, "format": name})


def _describe(kind: Kind, tensors: Mapping[str, Tensor]) -> PSPNetConfig:
    """Read the configuration off the shapes."""
    mobile = kind.renames is HUGGING_FACE_MOBILENETV2
    deep = "encoder.stages.0.0.layers.2.0.weight" in tensors
    backbone = "mobilenetv2" if mobile else "resnet101" if deep else "resnet18"
    if not kind.whole:
        return PSPNetConfig(classes=len(CITYSCAPES), input=kind.input, backbone=backbone)
    pooled, head = (len(tensors[f"{name}.weight"]) for name in ("pooling.grids.0.1.0", "classifier.0.0"))
    classes = len(tensors["classifier.2.weight"])
    return PSPNetConfig("pspnet", classes, None, kind.input, backbone, pooled, head)
