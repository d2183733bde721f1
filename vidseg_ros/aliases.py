"""Names of earlier versions: old checkpoints and configuration files stay readable through this table alone."""

from __future__ import annotations

CONFIG_KEYS = {
    "PhaseConfig": {"learns": "trainable", "run_up": "burn_in"},
    "TrainConfig": {
        "average": "ema_decay",
        "best": "monitor",
        "imitate": "init_from_convolution",
        "motion": "augmentation",
    },
}
"""Of configuration files: dataclass -> key of before -> key of today."""

TENSORS = {
    "espnet": {"up_half.": "head."},
    "ssnet": {"classifier.": "reductions.last."},
}
"""Of checkpoints in format 1: network -> beginning of a tensor's name -> what it begins with today."""

FLAT_FIELDS = ("p", "q", "skip_rgb", "decoder_channels")
"""Of networks in format 1: fields that every description had, whose network ever it was."""
