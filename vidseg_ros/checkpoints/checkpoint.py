"""Checkpoints: one safetensors file that says everything about its network. Loading never unpickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vidseg_ros import __version__
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic
from vidseg_ros.labels import LabelSet
from vidseg_ros.networks import StreamingNetwork, build
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.schema import from_dict

DEFAULT_CHECKPOINT = "espnet_l1b_camvid"
METADATA_KEY = "vidseg_ros"
TINY = 1e-20


@dataclass(frozen=True)
class Checkpoint:
    """A network with its label set; ``about`` holds what is known of its making: metrics, source, command, seed."""

    network: StreamingNetwork
    labels: LabelSet
    about: Mapping[str, Any] = field(default_factory=dict)
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
            "version": self.version,
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
        header = json.loads(header_text)
        network = build(from_dict(NetworkConfig, header["network"]))
        labels = from_dict(LabelSet, header["labels"])
        checkpoint = Checkpoint(network, labels, header["about"], header["version"])
        _load_tensors(network, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"checkpoint '{path}' has a broken description ({error}); write it with 'vidseg train' or 'import-weights'"
        ) from error
    except UserError as error:
        raise UserError(f"checkpoint '{path}': {error}") from error
    network.eval()
    return checkpoint


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
        raise UserError(
            f"checkpoint '{path}' is truncated or not a safetensors file ({error}); "
            "copy it again, or convert a .pth with 'vidseg import-weights'"
        ) from error
    if METADATA_KEY not in metadata:
        raise UserError(f"'{path}' was not written by vidseg_ros; convert the original with 'vidseg import-weights'")
    return metadata[METADATA_KEY], tensors


def _load_tensors(network: StreamingNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Fill the network; every name and shape must match."""
    expected = network.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "missing" if name in expected else "not of this network"
        raise UserError(f"tensor '{name}' is {what}; use the file that belongs to this config")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise UserError(
                f"tensor '{name}' has shape {tuple(tensor.shape)}, its config says {tuple(expected[name].shape)}; "
                "use the file that belongs to this config"
            )
    network.load_state_dict({name: without_denormals(tensor) for name, tensor in tensors.items()})


def without_denormals(tensor: Tensor) -> Tensor:
    """Return ``tensor`` with zero for numbers so small that arithmetic with them gets slow, some twenty times on a CPU.

    Weight decay leaves them in dead channels, among them those of the official releases.
    """
    return tensor.where(tensor.abs() > TINY, 0) if tensor.is_floating_point() else tensor
