"""Label images of any kind: ids, or one line."""

import cv2
import numpy as np
from hypothesis import strategies as st

from test.fuzz.drawing import damages, fuzz, refusing
from test.replay.test_label_images import png
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.label_images import coding, decode_label_png, read_labels
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE
from vidseg_ros.replay.ground_truth import Reading

READINGS = [(Reading(a, b), len(b)) for a, b in ((CAMVID, CAMVID), (CITYSCAPES, CAMVID), (CAMVID, CITYSCAPES))]
TABLE = coding({number: number for number in range(11)})


@st.composite
def label_files(draw):
    """Files with ids or colours: of few bits, of 8 or 16, with a palette, with transparency, as JPEG."""
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    most = draw(st.sampled_from([11, 12, 256]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    ids = rng.integers(0, most, shape, dtype=np.uint8)
    kind = draw(st.sampled_from(["grey", "grey16", "color", "alpha", "bits", "palette", "jpeg", "bmp"]))
    if kind in ("bits", "palette"):
        depth = draw(st.sampled_from([1, 2, 4, 8]))
        palette = rng.integers(0, 256, (draw(st.sampled_from([1, 12, 256])), 3)) if kind == "palette" else None
        return png(ids & (2**depth - 1), depth, 3 if kind == "palette" else 0, palette)
    pixels = (
        CAMVID.colorize(ids) if kind in ("color", "alpha") else ids.astype(np.uint16 if kind == "grey16" else np.uint8)
    )
    if kind == "alpha":
        pixels = np.dstack([pixels, ids])
    suffix = {"jpeg": ".jpg", "bmp": ".bmp"}.get(kind, ".png")
    return cv2.imencode(suffix, pixels)[1].tobytes()


@fuzz(share=3.0, data=label_files(), damage=damages(), whole=st.booleans(), reading=st.sampled_from(READINGS))
def test_any_label_image(tmp_path_factory, data, damage, whole, reading):
    reader, classes = reading
    data = data if whole else damage(data)
    with refusing():
        decoded = decode_label_png(data, "here")
        frame = Frame(np.zeros((*decoded.size, 3), np.uint8), 0)
        ids = reader.decode(decoded, frame, "here")
        assert ids.dtype == np.uint8 and ids.shape == decoded.size
        assert ((ids < classes) | (ids == IGNORE)).all()
    path = tmp_path_factory.getbasetemp() / "label.png"
    path.write_bytes(data)
    with refusing():
        assert set(np.unique(read_labels(path, TABLE, (5, 5)))) <= {*range(11), IGNORE}
