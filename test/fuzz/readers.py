"""What reads bytes, each with whole files to begin with, led by the lines that an input reaches: atheris and libFuzzer.

    python -m test.fuzz.readers 20000 [pictures ...]    # how many cases of each reader; at last, in JSON, which held

A case ends in a result or in one line (``UserError``); anything else ends its reader with a trace, and the run with 1.
The other fuzz tests draw their cases from what a file means, this from what its bytes do.
"""

import io
import json
import os
import sys
import tempfile
from itertools import islice
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vidseg_ros", "rosbags"]):
    import cv2
    import numpy as np
    import torch
    from safetensors import safe_open
    from safetensors.numpy import save

    from test.conftest import tiny_network
    from test.io.making import image, write_bag
    from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
    from vidseg_ros.checkpoints.importing import import_weights
    from vidseg_ros.errors import UserError
    from vidseg_ros.io.images import decode_picture, decode_rgb
    from vidseg_ros.io.label_images import decode_label_png
    from vidseg_ros.io.recordings import open_recordings
    from vidseg_ros.labels import CAMVID
    from vidseg_ros.schema import load_yaml
    from vidseg_ros.training.config import TrainConfig

MOST = 12  # frames that are read of a recording, which may promise any number
LONGEST = 1 << 16  # bytes of a case
PIXELS = np.random.default_rng(0).integers(0, 11, (16, 24, 3), dtype=np.uint8)
ROOT = Path(__file__).resolve().parents[2]


def of_file(name, read):
    """A reader of bytes from one of files."""

    def of_bytes(data, folder):
        path = folder / name
        path.write_bytes(data)
        read(path)

    return of_bytes


def pictures(data, _):
    decode_picture(data)
    decode_rgb(data)


def labels(data, _):
    decode_label_png(data, "here")


def bag(path):
    for recording in open_recordings(path, ["/image"]):
        list(islice(recording.frames(), MOST))


def some_pictures(_):
    return [cv2.imencode(suffix, PIXELS)[1].tobytes() for suffix in (".png", ".jpg", ".bmp")]


def some_labels(_):
    return [cv2.imencode(".png", pixels)[1].tobytes() for pixels in (PIXELS[..., 0], PIXELS)]


def some_checkpoints(folder):
    """The header of a whole one and a single tensor: most of the bytes are read by us."""
    path = folder / "tiny.safetensors"
    Checkpoint(tiny_network(), CAMVID).save(path)
    with safe_open(path, "np") as file:
        header = file.metadata()
    weight = {"weight": np.zeros((2, 3), np.float32)}
    return [save(weight, header), save(weight, dict.fromkeys(header, "[" * 2000))]


def some_official(_):
    files = []
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save({"model_state": {"weight": torch.zeros(2, 3)}}, buffer, _use_new_zipfile_serialization=zipped)
        files.append(buffer.getvalue())
    return files


def some_configurations(_):
    whole = [path.read_bytes() for path in sorted((ROOT / "config" / "train").glob("*.yaml"))]
    return [
        *whole,
        b"a: 2024-13-45",
        b"a: 0b_",
        b"!!bool x",
        b"name: &a [*a]",
        b"[" * 2000,
    ]  # of which each once was a trace


def some_bags(folder):
    path = write_bag(folder / "bag", {"/image": [(n, image(PIXELS, n * 10**8)) for n in range(3)]})
    return [(path / "bag.mcap").read_bytes()]


READERS = {
    "pictures": (pictures, some_pictures),
    "labels": (labels, some_labels),
    "checkpoints": (of_file("case.safetensors", load_checkpoint), some_checkpoints),
    "official": (of_file("case.pth", import_weights), some_official),
    "configurations": (of_file("case.yaml", lambda path: load_yaml(path, TrainConfig)), some_configurations),
    "bags": (of_file("case.mcap", bag), some_bags),
}
"""Name -> what reads the bytes of a case, and whole files to begin with."""


def run(name, cases, folder):
    """Read so many cases; ends the process, with 0 where all held."""
    read, whole = READERS[name]
    (folder / "corpus").mkdir()
    for number, data in enumerate(whole(folder)):
        (folder / "corpus" / str(number)).write_bytes(data)

    def case(data):
        try:
            read(data, folder)
        except UserError as error:
            assert str(error) and "\n" not in str(error), repr(str(error))

    limits = [f"-runs={cases}", f"-max_len={LONGEST}", "-rss_limit_mb=6000", "-timeout=60"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(folder / "corpus")], case)
    atheris.Fuzz()


def main(cases, names):
    """Each reader in a process of its own, for libFuzzer ends it."""
    held = {}
    for name in names or READERS:
        with tempfile.TemporaryDirectory() as folder:
            child = os.fork()
            if child == 0:
                run(name, cases, Path(folder))
            held[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print(json.dumps(held))
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
