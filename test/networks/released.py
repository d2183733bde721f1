"""Networks from released files: Cityscapes, with the outputs of the original code for one frame."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidseg_ros.networks._renames import RELEASED_INPUT
from vidseg_ros.networks._stub import NetworkConfig

FOLDER = Path(__file__).parents[2].parent / "shared" / "weights" / "cityscapes"


def load(network_type, name, renames):
    """The network with the released weights, for inference."""
    file = FOLDER / f"{name}_crop-1024_800epoch.pth"
    if not file.is_file():
        pytest.skip("the released weights are not here")
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    network = network_type(NetworkConfig(19, RELEASED_INPUT)).eval()
    network.load_state_dict({rename(key, renames): value for key, value in state.items()})
    return network


def rename(key, renames):
    for pattern, replacement in renames:
        key = re.sub(pattern, replacement, key)
    return key


@torch.no_grad()
def difference(network, name):
    """The largest difference of a logit from the original, and the share of labels that are equal."""
    frame = cv2.cvtColor(cv2.imread(str(FOLDER / "reference_input.png")), cv2.COLOR_BGR2RGB)
    expected = np.load(FOLDER / "reference_outputs.npz")
    logits = network(torch.from_numpy(frame).permute(2, 0, 1)[None])[0].numpy()
    equal = logits.argmax(0) == expected[f"{name}_labels"]
    return np.abs(logits[:, ::8, ::8] - expected[f"{name}_logits_every_8th_pixel"]).max(), equal.mean()


def parameters(network):
    """Weights and biases, those of batch norms included, their running statistics not."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def sizes(network_type, *frames):
    """Sizes of the logits for frames of (height, width)."""
    network = network_type(NetworkConfig(5, RELEASED_INPUT)).eval()
    return [tuple(network(torch.rand(1, 3, *frame) * 255).shape[1:]) for frame in frames]
