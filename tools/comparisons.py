"""What ``tools.experiments`` compares: each run changes one thing.

F2F at 240x180: all runs go on from one start, with the same optimiser, rate, frozen norms and images a step; "single,
same clips" also sees the clips and the inconsistency loss that the memory sees. ETC and GRFP at 480x360: all rows of a
group have the same start, data, steps and rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidseg_ros.checkpoints.importing import ESPNET_CITYSCAPES

Config = dict[str, Any]
Experiment = tuple[Config, str | None]
"""The configuration of a run, and what it starts from: another run, a checkpoint that ships, OFFICIAL, or nothing."""

OFFICIAL = "official release"
STREET = "street"

INPUT: Config = {
    "channel_order": "bgr",
    "mean": ESPNET_CITYSCAPES.mean,
    "std": ESPNET_CITYSCAPES.std,
    "scale": ESPNET_CITYSCAPES.scale,
}
ESPNET: Config = {"decoder_channels": 20, "input": INPUT | {"size": [240, 180]}}
SSNET: Config = {"name": "ssnet", "input": INPUT | {"size": [160, 120]}}
CALM: Config = {"augmentation": {"zoom_range": [0.8, 1.8], "occluders": 0.8}, "precision": "bf16-mixed"}


def single(steps: int, rate: float, **phase: Any) -> list[Config]:
    """Phases of a single-frame network: 8 images a step."""
    return [{"trainable": "single", "steps": steps, "clip_length": 1, "batch": 8, "learning_rate": rate} | phase]


def video(steps: int, rate: float, **phase: Any) -> list[Config]:
    """Phases of a network with memory: 8 images a step."""
    clips: Config = {"clip_length": 4, "batch": 2, "burn_in": 8, "freeze_norm": True}
    return [{"trainable": "all", "steps": steps, "learning_rate": rate} | clips | phase]


def still(more: Config | None = None, **phase: Any) -> Experiment:
    """A run of ESPNet without memory."""
    config = {"network": ESPNET, "phases": single(STEPS, RATE, freeze_norm=True, **phase), "data": CAMVID}
    return config | (more or {}), "start"


def clips(**augmentation: Any) -> Config:
    """Clips that are drawn in another way."""
    return {"augmentation": CALM["augmentation"] | augmentation}


def espnet(
    share: float = 0.0,
    loss: Config | None = None,
    init_from_convolution: bool = True,
    trainable: str = "all",
    more: Config | None = None,
    **cell: Any,
) -> Experiment:
    """A run of ESPNet with a ConvLSTM."""
    data: list[Config] = [{"source": "camvid/train", "share": 1 - share}]
    data += [{"source": STREET, "share": share}] if share else []
    cell = {"position": "L1b", "kernel": 3, "state_size": [23, 30]} | cell
    phases = video(STEPS, CELL_RATE if trainable == "cell" else RATE, trainable=trainable)
    config: Config = {"network": ESPNET | {"cell": cell}, "phases": phases, "data": data}
    return config | {"init_from_convolution": init_from_convolution, "loss": loss or {}} | (more or {}), "start"


STEPS, RATE, CELL_RATE = 280, 2e-4, 1e-3
SEEDS = (0, 1, 2)
CAMVID = [{"source": "camvid/train"}]
SEEDED: dict[str, Experiment] = {
    "single": still(),
    "single, same clips": still(clip_length=4, batch=2),
    "L1b 3x3": espnet(),
    "cell only": espnet(trainable="cell"),
    "cell only, lambda 0": espnet(trainable="cell", loss={"lambda_incons": 0}),
    "cell only, lambda 100": espnet(trainable="cell", loss={"lambda_incons": 100}),
    "cell only, absolute": espnet(trainable="cell", loss={"difference": "absolute"}),
}
"""The main rows, once a seed."""

BAD, AT_REST = clips(disturbed=0.3), clips(zoom_speed=0.0, shift_speed=0.0, roll_speed=0.0)
REMEMBERING: dict[str, Experiment] = {
    "single, same clips, bad frames": still(BAD, clip_length=4, batch=2),
    "L1b 3x3, bad frames": espnet(more=BAD),
    "L1b 3x3, camera at rest": espnet(more=AT_REST),
    "L1b 3x3, warped": espnet(more={"memory_flow": "exact"}, warped=True),
    "L1b 3x3, warped, bad frames": espnet(more=BAD | {"memory_flow": "exact"}, warped=True),
}
"""Why a ConvLSTM forgets, and where it does not: beside "L1b 3x3"."""

RUNS: dict[str, Experiment] = {
    "L1a 11x11": espnet(position="L1a", kernel=11, state_size=[180, 240]),
    "L1c 5x5": espnet(position="L1c", kernel=5, state_size=[45, 60]),
    "L1d 7x7": espnet(position="L1d", kernel=7, state_size=[90, 120]),
    "L1a 3x3 standard": espnet(position="L1a", state_size=[180, 240]),
    "L1a 3x3 depthwise": espnet(position="L1a", convolution="depthwise", state_size=[180, 240]),
    "L1a 3x3 shared": espnet(position="L1a", convolution="shared", state_size=[180, 240]),
    "lambda 0": espnet(loss={"lambda_incons": 0}),
    "lambda 100": espnet(loss={"lambda_incons": 100}),
    "absolute": espnet(loss={"difference": "absolute"}),
    "all classes": espnet(loss={"compared": "all"}),
    "dilation 2": espnet(loss={"dilation": 2}),
    "PReLU, fresh": espnet(init_from_convolution=False),
    "tanh, fresh": espnet(init_from_convolution=False, activation="tanh"),
    "street 10 %": espnet(share=0.1),
    "street 20 %": espnet(share=0.2),
    "street 50 %": espnet(share=0.5),
    "SSNet": ({"network": SSNET, "phases": single(STEPS, 1e-3, freeze_norm=True), "data": CAMVID}, "SSNet start"),
    "VSSNet": (
        {
            "network": SSNET | {"cell": {"position": "last", "kernel": 3, "state_size": [120, 160]}},
            "phases": video(STEPS, 1e-3),
            "data": CAMVID,
        },
        "SSNet start",
    ),
}


def seeded(runs: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """Each run once a seed; the first keeps its name."""
    return {
        name if seed == 0 else f"{name}, seed {seed}": (config | {"seed": seed}, start)
        for name, (config, start) in runs.items()
        for seed in SEEDS
    }


ETC_STEPS, ETC_RATE = 300, 5e-4
VIDEO: Config = {"stills": False, "unlabelled": True, "frame_range": 3}
ETC_DATA: list[Config] = [
    {"source": "camvid/train", "share": 0.65},
    {"source": "cityscapes_jena", "share": 0.1, "labels": "cityscapes"},
    {"source": "video/clips", "share": 0.1, **VIDEO},
    {"source": "video/kitti", "share": 0.05, "fps": 10.0, **VIDEO},
    {"source": "video/nuscenes_2hz_a", "share": 0.1, "unlabelled": True},  # too sparse for flow: moving stills
]
PLAIN: Config = {"weight_power": 0.25, "lambda_incons": 0.0}
TEMPORAL: Config = {"lambda_temporal": 0.1}
MORE_TEMPORAL: Config = {"lambda_temporal": 5.0}
SF, PF, MF = ({f"lambda_{name}": 0.1} for name in ("sf", "pf", "mf"))
TEACHER: Config = {"names": ["fddwnet_camvid"], "scales": [2.0]}
SMALL: Config = {"name": "espnet", "decoder_channels": 20, "input": INPUT | {"size": [480, 360]}}
IMAGENET: Config = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
MOBILE: Config = {"name": "pspnet", "backbone": "mobilenetv2", "input": IMAGENET | {"size": [240, 180]}}


def etc(network: Config, start: str | None, *losses: Config) -> Experiment:
    """A student of ETC: pairs of frames; a teacher where a loss asks for one."""
    loss = PLAIN | {key: value for terms in losses for key, value in terms.items()}
    taught = {"teacher": TEACHER} if any(key in loss for terms in (SF, PF, MF) for key in terms) else {}
    phase = {"trainable": "single", "steps": ETC_STEPS, "clip_length": 2, "batch": 8, "learning_rate": ETC_RATE}
    shared = {"data": ETC_DATA, "ema_decay": 0.99}
    return {"network": network, "loss": loss, "phases": [phase], **shared, **taught}, start


def students(name: str, network: Config, start: str | None) -> dict[str, Experiment]:
    """The rows of ETC's ablation, for one student."""
    rows = {
        "student": (),
        "temporal": (TEMPORAL,),
        "temporal x 50": (MORE_TEMPORAL,),
        "SF": (SF,),
        "SF, PF": (SF, PF),
        "SF, PF, MF": (SF, PF, MF),
        "all": (TEMPORAL, SF, PF, MF),
        "all, temporal x 50": (MORE_TEMPORAL, SF, PF, MF),
    }
    return {f"{name}: {row}": etc(network, start, *losses) for row, losses in rows.items()}


MOBILE_ROWS = ("student", "temporal", "all", "all, temporal x 50")
ETC: dict[str, Experiment] = {
    **students("ESPNet", SMALL, "espnet_camvid"),
    **students("ESPNet at 240x180", ESPNET, "espnet_camvid"),
    **{
        name: run
        for name, run in students("MobileNetV2-PSP at 240x180", MOBILE, None).items()
        if name.partition(": ")[2] in MOBILE_ROWS
    },
}

GRFP_STEPS = 200


def along(
    trainable: str,
    rate: float,
    loss: Config | None = None,
    supervise: str = "all",
    more: Config | None = None,
    burn_in: int = 0,
    **parts: Any,
) -> Experiment:
    """A run of ESPNet on clips of five frames, with what remembers in ``parts``; the flow is that of the stream."""
    clips: Config = {"clip_length": 5, "batch": 4, "freeze_norm": True, "betas": [0.95, 0.99], "supervise": supervise}
    clips |= {"burn_in": burn_in} if burn_in else {}
    phase = {"trainable": trainable, "steps": GRFP_STEPS, "learning_rate": rate} | clips
    shared = {"data": CAMVID, "memory_flow": "estimated", "loss": {"weight_power": 0.25} | (loss or {})}
    return {"network": SMALL | parts, "phases": [phase], **shared, **(more or {})}, "espnet_camvid"


CELL: Config = {"position": "L1b", "kernel": 5, "state_size": [45, 60]}
GRFP: dict[str, Experiment] = {
    "static, same clips": along("single", 1e-4),
    "STGRU": along("propagation", 1e-3, supervise="last", propagation={"name": "stgru"}),
    "STGRU, code": along("propagation", 1e-3, supervise="last", propagation={"name": "stgru", "variant": "code"}),
    "STGRU, all frames": along("propagation", 1e-3, propagation={"name": "stgru"}),
    "STGRU, refined": along("all", 1e-4, supervise="last", propagation={"name": "stgru"}),
    "learned gate": along("propagation", 1e-3, propagation={"name": "gated_flow"}),
    "learned gate, lambda 50": along("propagation", 1e-3, {"lambda_incons": 50.0}, propagation={"name": "gated_flow"}),
    "learned gate, bad frames": along("propagation", 1e-3, more=BAD, propagation={"name": "gated_flow"}),
    "learned gate, bad frames, amid streams": along(
        "propagation", 1e-3, more=BAD, burn_in=12, propagation={"name": "gated_flow"}
    ),
    "learned gate, refined": along("all", 1e-4, propagation={"name": "gated_flow"}),
    "ConvLSTM": along("all", 1e-4, cell=CELL),
    "ConvLSTM, warped": along("all", 1e-4, cell=CELL | {"warped": True}),
    "ConvLSTM, warped, learned gate": along(
        "all", 1e-4, cell=CELL | {"warped": True}, propagation={"name": "gated_flow"}
    ),
}

EXPERIMENTS: dict[str, Experiment] = {
    "start": ({"network": ESPNET, "phases": single(500, 1e-3), "data": CAMVID}, OFFICIAL),
    "SSNet start": ({"network": SSNET, "phases": single(500, 2e-3), "data": CAMVID}, None),
    **seeded(SEEDED),
    **REMEMBERING,
    **RUNS,
    **ETC,
    **GRFP,
}
