"""Checkpoints: one safetensors file that says everything about its network. Loading never unpickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vidseg_ros import __version__
from vidseg_ros.aliases import FLAT_FIELDS, TENSORS
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.labels import LabelSet
from vidseg_ros.networks import StreamingNetwork, build
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.networks.flow_memory import FlowMemoryConfig
from vidseg_ros.schema import from_dict, parse_json, require_not_negative, require_one_of

DEFAULT_CHECKPOINT = "fddwnet_camvid"
METADATA_KEY = "vidseg_ros"
MEMORIES = {
    "network": "that of the network, if it has one",
    "flow": "that of the network's cell, and an average along the optical flow without training",
    "off": "none: what the network remembers is forgotten before each frame",
}
TINY = 1e-20
ARCHIVE = b"PK"  # begins a file of torch.save or torch.export
FORMAT = 2  # of the header and the names of tensors; 1 had one flat description of all networks


@dataclass(frozen=True)
class InferenceConfig:
    """What a checkpoint wants to be run with, unless the user says otherwise."""

    hysteresis: float = 0.0  # logits by which a new label of a pixel must beat the last one
    memory: str = "network"  # one of MEMORIES
    flow: FlowConfig = field(default_factory=FlowConfig)  # where a memory needs it
    flow_memory: FlowMemoryConfig = field(default_factory=FlowMemoryConfig)
    warped: bool = False  # what a cell remembers and the last labels of the hysteresis are moved along the flow

    def __post_init__(self) -> None:
        require_one_of("memory", self.memory, MEMORIES)
        require_not_negative(hysteresis=self.hysteresis)

    @property
    def warps_labels(self) -> bool:
        """Whether the last labels are part of the state, and move."""
        return self.warped and self.hysteresis > 0


@dataclass(frozen=True)
class Checkpoint:
    """A network with its label set; ``about`` holds what is known of its making: metrics, source, command, seed."""

    network: StreamingNetwork
    labels: LabelSet
    about: Mapping[str, Any] = field(default_factory=dict)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    version: str = __version__

    def __post_init__(self) -> None:
        classes = self.network.config.classes
        if classes != len(self.labels):
            raise UserError(
                f"the network has {classes} classes but label set '{self.labels.name}' has {len(self.labels)}; "
                "name the label set it was trained with"
            )

    def save(self, path: Path) -> None:
        """Write the file whole or not at all: a full disk leaves an older file untouched."""
        header = {
            "format": FORMAT,
            "version": self.version,
            "inference": asdict(self.inference),
            "network": asdict(self.network.config),
            "labels": asdict(self.labels),
            "about": dict(self.about),
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        write_atomic(path, save(tensors, {METADATA_KEY: json.dumps(header)}))


def load_checkpoint(path: str | Path = "") -> Checkpoint:
    """Read a checkpoint: a file, the name of weights that ship with the package, or "" for the default ones.

    Raises UserError for a file that is missing, truncated, not of this format or at odds with itself.
    """
    path = find_checkpoint(path)
    header_text, tensors = _read(path)
    try:
        header, tensors = upgrade(parse_json(header_text), tensors)
        config = from_dict(NetworkConfig, header["network"])
        labels = from_dict(LabelSet, header["labels"])
        inference = from_dict(InferenceConfig, header["inference"])
        _require_fit(config, tensors)
        network = build(config)
        network.load_state_dict({name: without_denormals(tensor) for name, tensor in tensors.items()})
        checkpoint = Checkpoint(network, labels, header["about"], inference, header["version"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"checkpoint '{path}' has a broken description ({error}); write it with 'vidseg train' or 'import-weights'"
        ) from error
    except UserError as error:
        raise UserError(f"checkpoint '{path}': {error}") from error
    network.eval()
    return checkpoint


def upgrade(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint of an earlier version says today. Raises UserError for one of a later version."""
    written = header.get("format", 1)
    if written > FORMAT:
        raise UserError(
            f"it is of format {written}, written by vidseg_ros {header['version']}, and this version reads up to "
            f"format {FORMAT}; update vidseg_ros"
        )
    if written == FORMAT:
        return dict(header), dict(tensors)
    network = dict(header["network"])
    inference = {"hysteresis": network.pop("hysteresis", 0.0)}
    name = network.get("name", "espnet")
    if name != "espnet":
        network = {key: value for key, value in network.items() if key not in FLAT_FIELDS}
    renamed = {_today(tensor, TENSORS.get(name, {})): value for tensor, value in tensors.items()}
    return {**header, "network": network, "inference": inference}, renamed


def _today(name: str, prefixes: Mapping[str, str]) -> str:
    """The name of a tensor today."""
    for before, today in prefixes.items():
        if name.startswith(before):
            return today + name.removeprefix(before)
    return name


def find_checkpoint(name: str | Path = "") -> Path:
    """Return the file that ``load_checkpoint`` would read, whether it is there or not."""
    shipped = shipped_weights(str(name) or DEFAULT_CHECKPOINT)
    return shipped if not Path(name).suffix and shipped.is_file() else Path(name)


def shipped_weights(name: str) -> Path:
    """Return the path of the weights ``name`` that come with the package."""
    return Path(str(files("vidseg_ros"))) / "weights" / f"{name}.safetensors"


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    if not path.is_file():
        raise UserError(f"checkpoint '{path}' does not exist; name a .safetensors file or shipped weights")
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        if _begins(path) == ARCHIVE:
            raise UserError(
                f"'{path}' is an archive of PyTorch, no checkpoint: a .pt2 of vidseg export runs without this package, "
                "so name what it was exported from; convert a .pth with 'vidseg import-weights'"
            ) from error
        raise UserError(
            f"checkpoint '{path}' is truncated or not a safetensors file ({error}); "
            "copy it again, or convert a .pth with 'vidseg import-weights'"
        ) from error
    if METADATA_KEY not in metadata:
        raise UserError(f"'{path}' was not written by vidseg_ros; convert the original with 'vidseg import-weights'")
    return metadata[METADATA_KEY], tensors


def _begins(path: Path) -> bytes:
    """The first bytes of a file; none of one that cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(ARCHIVE))
    return b""


def _require_fit(config: NetworkConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise UserError unless the tensors are those of the network; that takes no memory yet."""
    with torch.device("meta"):
        expected = build(config).state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "missing" if name in expected else "not of this network"
        raise UserError(f"tensor '{name}' is {what}; use the file that belongs to this config")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise UserError(
                f"tensor '{name}' has shape {tuple(tensor.shape)}, its config says {tuple(expected[name].shape)}; "
                "use the file that belongs to this config"
            )
        if tensor.dtype != expected[name].dtype:
            raise UserError(f"tensor '{name}' is {tensor.dtype}, not {expected[name].dtype}; use an undamaged file")
    require_finite_weights(tensors)


def require_finite_weights(tensors: Mapping[str, Tensor]) -> None:
    """Raise UserError for the first tensor with a value that is infinite or no number."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"tensor '{name}' holds values that are not finite; use an undamaged file")


def without_denormals(tensor: Tensor) -> Tensor:
    """Return ``tensor`` with zero for numbers so small that arithmetic with them gets slow, some twenty times on a CPU.

    Weight decay leaves them in dead channels, among them those of the official releases.
    """
    return tensor.masked_fill(tensor.abs() <= TINY, 0) if tensor.is_floating_point() else tensor
