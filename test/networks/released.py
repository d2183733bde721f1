"""Networks with released weights for Cityscapes: they must give what the original code gave for one frame."""

from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch

from test.networks.tester import StreamingNetworkTester
from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.data.datasets import data_root

FOLDER = data_root().parent / "weights" / "cityscapes"


class ReleasedNetworkTester(StreamingNetworkTester):
    """And the logits of the original code."""

    release: ClassVar[str]
    positions = ("deep",)  # deep networks take seconds a step on one thread

    @torch.no_grad()
    def test_released_weights_give_the_released_logits(self):
        if not (FOLDER / self.release).is_file():
            pytest.skip("the released weights are not here")
        checkpoint = import_weights(FOLDER / self.release)
        assert checkpoint.network.config.name == self.config.name
        frame = cv2.cvtColor(cv2.imread(str(FOLDER / "reference_input.png")), cv2.COLOR_BGR2RGB)
        expected, name = np.load(FOLDER / "reference_outputs.npz"), self.release.partition("_")[0]
        logits = checkpoint.network(torch.from_numpy(frame).permute(2, 0, 1)[None])[0][0].numpy()
        assert np.abs(logits[:, ::8, ::8] - expected[f"{name}_logits_every_8th_pixel"]).max() < 1e-4
        assert np.mean(logits.argmax(0) == expected[f"{name}_labels"]) > 0.9999
