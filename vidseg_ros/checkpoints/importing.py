"""Readers of the official files: ESPNet (Mehta et al.), F2F (Rebol and Knoebelreiter), and those with tables of names
(releases.py, pspnet_files.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from vidseg_ros.checkpoints.checkpoint import Checkpoint, require_finite_weights, without_denormals
from vidseg_ros.checkpoints.pspnet_files import import_pspnet
from vidseg_ros.checkpoints.releases import RELEASED_INPUT, RELEASES, rename_all
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES, LabelSet
from vidseg_ros.networks import StreamingNetwork, build
from vidseg_ros.networks.config import CellConfig, InputConfig, NetworkConfig
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.schema import from_dict

ESPNET_CITYSCAPES = InputConfig(
    (1024, 512), "bgr", (72.3923111, 82.90893555, 73.15840149), (45.3192215, 46.15289307, 44.91483307), 1 / 255
)
"""Input of the ESPNet release for Cityscapes."""

ESPNET_CAMVID = InputConfig(
    (480, 360), "bgr", (110.204035, 108.371121, 104.954327), (72.054091, 72.585112, 69.861505), 1 / 255
)
"""Input of the ESPNet release for CamVid: BGR mean, and mean of the per-image std, of the 367 training images."""

F2F_CITYSCAPES = InputConfig((1024, 512), "rgb", (73.158, 82.909, 72.392), (44.915, 46.153, 45.319))
"""Input of the F2F release."""

SUB_BLOCKS = (
    (r"\.c1\.conv\.", ".reduce."),
    (r"\.d1\.conv\.", ".branches.0."),
    (r"\.d2\.conv\.", ".branches.1."),
    (r"\.d4\.conv\.", ".branches.2."),
    (r"\.d8\.conv\.", ".branches.3."),
    (r"\.d16\.conv\.", ".branches.4."),
)
RENAMES = (
    (r"^encoder\.clstm\.cell\.convolution\.", "cell.gates.convolution."),
    (r"^encoder\.clstm\.cell\.peephole_weights$", "cell.peephole"),
    (r"^encoder\.clstm\.cell\.activation_function\.", "cell.activation."),
    (r"^encoder\.clstm\.(h0|c0)$", r"cell.\1"),
    (r"^encoder\.batch_norm\.", "cell.norm."),
    (r"^encoder\.classifier\.conv\.", "reductions.L1b."),
    (r"^level3_C\.conv\.", "reductions.L1c."),
    (r"^conv\.conv\.", "reductions.L1d."),
    (r"^conv\.bn\.", "norm_half.0."),
    (r"^conv\.act\.", "norm_half.1."),
    (r"^br\.", "norm_eighth."),
    (r"^up_l3\.0\.", "up_eighth."),
    (r"^combine_l2_l3\.", "merge."),
    (r"^up_l2\.", "up_quarter."),
    (r"^classifier\.", "head."),
    (r"^encoder\.level1\.conv\.", "encoder.level1.0."),
    (r"^encoder\.level1\.bn\.", "encoder.level1.1.0."),
    (r"^encoder\.level1\.act\.", "encoder.level1.1.1."),
    (r"^encoder\.b([123])\.", r"encoder.norm\1."),
    (r"^encoder\.level([23])_0\.(bn|act)\.", r"encoder.down\1.norm.\2."),
    (r"^encoder\.level([23])_0\.", r"encoder.down\1."),
    (r"(level[23]\.\d+|merge\.1)\.bn\.(bn|act)\.", r"\1.norm.\2."),
    (r"(norm[123]?|merge\.0|up_quarter\.1)\.bn\.", r"\1.0."),
    (r"(norm[123]?|merge\.0|up_quarter\.1)\.act\.", r"\1.1."),
)
FIRST_LAYER = "encoder.level1.0.weight"
LAST_LAYER = "head.weight"
SKIP_RGB_CHANNELS = 19


def import_weights(path: Path) -> Checkpoint:
    """Read an official ``.pth`` or ``.safetensors`` file into a checkpoint of this package.

    Releases of an encoder alone get fresh weights for the rest and serve as a start for training. Outputs beyond the
    label set (the void class of the ESPNet releases) are dropped. Raises UserError for a file of another kind.
    """
    raw = _load(path)
    inside = isinstance(raw.get("state_dict"), Mapping)
    state = _clean(raw["state_dict"] if inside else raw)
    checkpoint = import_pspnet(path, state)
    if checkpoint is not None:
        return checkpoint
    return _import_release(path, state) if inside else _import_espnet(path, raw)


def _import_release(path: Path, state: Mapping[str, Tensor]) -> Checkpoint:
    """Find the family whose names these are. Raises UserError."""
    for name, renames in RELEASES.items():
        about = {"name": name, "classes": len(CITYSCAPES), "input": asdict(RELEASED_INPUT)}
        network = build(from_dict(NetworkConfig, about))
        tensors = {key: without_denormals(value) for key, value in rename_all(state, renames).items()}
        if {k: v.shape for k, v in tensors.items()} == {k: v.shape for k, v in network.state_dict().items()}:
            require_finite_weights(tensors)
            network.load_state_dict(tensors)
            return Checkpoint(network.eval(), CITYSCAPES, {"source": path.name, "format": name})
    raise UserError(f"'{path}' holds none of the networks {', '.join(RELEASES)}; import a released file for Cityscapes")


def _import_espnet(path: Path, raw: Mapping[str, Any]) -> Checkpoint:
    f2f = "model_state" in raw
    state = _clean(raw["model_state"] if isinstance(raw.get("model_state"), Mapping) else raw)
    renamed = rename_all(state, (*SUB_BLOCKS, *RENAMES))
    if FIRST_LAYER not in renamed:
        raise UserError(f"'{path}' holds no ESPNet; import an ESPNet release or an F2F checkpoint")
    try:
        config, labels = _describe(renamed, f2f)
        require_finite_weights(renamed)
        network = build(config)
        _fill(network, renamed)
    except (KeyError, IndexError, RuntimeError, UserError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"'{path}' is an ESPNet of another build ({reason}); import an original release") from error
    network.eval()
    kind = "f2f" if f2f else "espnet" if _is_full(renamed) else "espnet encoder; the decoder is untrained"
    return Checkpoint(network, labels, {"source": path.name, "format": kind})


def _fill(network: StreamingNetwork, state: dict[str, Tensor]) -> None:
    """Load ``state``, where a release of the encoder alone may leave the decoder as it is. Raises KeyError."""
    full = _is_full(state)
    if full:
        state[LAST_LAYER] = state[LAST_LAYER][:, : network.config.classes]
    clean = {key: without_denormals(value) for key, value in state.items()}
    if network.cell is not None:
        clean |= {"cell.input_unit": torch.ones(()), "cell.output_unit": torch.ones(())}
    missing, unexpected = network.load_state_dict(clean, strict=False)
    for key in (*unexpected, *(key for key in missing if full or key.startswith("encoder."))):
        raise KeyError(key)


def _is_full(state: Mapping[str, Tensor]) -> bool:
    """Tell a whole network from an encoder."""
    return any(not key.startswith("encoder.") for key in state)


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise UserError(f"'{path}' does not exist; name a .pth or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        raw = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a foreign or damaged file makes the unpickler raise is anybody's guess
        reason = [*str(error).strip().splitlines(), type(error).__name__][0]
        raise UserError(f"'{path}' is not a PyTorch file of plain tensors ({reason})") from error
    if not isinstance(raw, Mapping):
        raise UserError(f"'{path}' holds a {type(raw).__name__}, not named tensors; import a state dict")
    return raw


def _clean(state: Mapping[str, object]) -> dict[str, Tensor]:
    """Drop the wrapper's prefix, the duplicates below ``modules.`` and the counters; give encoders their prefix."""
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    tensors = {re.sub(r"^module\.", "", key): value for key, value in tensors.items()}
    plain = {key: value for key, value in tensors.items() if not re.search(r"(^|\.)modules\.", key)}
    if "level1.conv.weight" in plain:
        plain = {f"encoder.{key}": value for key, value in plain.items() if not key.startswith("classifier")}
    return plain


def _describe(state: dict[str, Tensor], f2f: bool) -> tuple[ESPNetConfig, LabelSet]:
    """Read the configuration off the shapes."""
    full = _is_full(state)
    width, outputs = state[LAST_LAYER].shape[:2] if full else (len(CITYSCAPES), len(CITYSCAPES))
    fitting = [known for known in (CAMVID, CITYSCAPES) if outputs - len(known) in (0, 1)]
    if not fitting:
        raise UserError(f"{outputs} outputs, where CamVid has 11 or 12 and Cityscapes 19 or 20")
    labels = fitting[0]
    inputs = F2F_CITYSCAPES if f2f else ESPNET_CAMVID if labels is CAMVID else ESPNET_CITYSCAPES
    p, q = (
        len({k.split(".")[2] for k in state if k.startswith(f"encoder.{level}.")}) for level in ("level2", "level3")
    )
    skip_rgb = full and state["reductions.L1d.weight"].shape[1] == SKIP_RGB_CHANNELS + width
    cell = _describe_cell(state)
    return ESPNetConfig("espnet", len(labels), cell, inputs, p, q, skip_rgb, width), labels


def _describe_cell(state: dict[str, Tensor]) -> CellConfig | None:
    if "cell.h0" not in state:
        return None
    for key in ("cell.h0", "cell.c0"):  # some releases keep a batch dimension of one
        state[key] = state[key].reshape(state[key].shape[-3:])
    kernel = state["cell.gates.convolution.weight"].shape[-1]
    parametric, normed = "cell.activation.weight" in state, "cell.norm.weight" in state
    activation = "prelu" if parametric else "tanh" if normed else "leaky_relu"
    height, width = state["cell.h0"].shape[-2:]
    return CellConfig("L1b", kernel, "standard", activation, (height, width))
