"""Ids stay ids, in files and in topics."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from test.io.making import compressed, write_bag
from test.replay.conftest import messages, stamps
from vidseg_ros.errors import UserError
from vidseg_ros.io.label_images import coding, decode_label_png, read_labels
from vidseg_ros.io.recordings import open_recordings
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.replay.ground_truth import Reading, open_truth

IDS = np.arange(12, dtype=np.uint8).reshape(3, 4) % 11
READING = Reading(CAMVID, CAMVID)


def png(ids, depth=8, kind=3, palette=None):
    """Write a PNG file by hand: ids of few bits, with the RGB ``palette`` where there is one."""
    bits = (np.unpackbits(row[:, None], axis=1)[:, -depth:].reshape(-1) for row in ids)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", palette.astype(np.uint8).tobytes()))
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("depth", [4, 8])
def test_a_palette_does_not_change_ids(depth, tmp_path):
    """It was told to become "8-bit, one channel", which it is."""
    colors = np.zeros((12, 3))  # unused entries are often all black
    colors[1] = 9
    (tmp_path / "l.png").write_bytes(png(IDS, depth, palette=colors))
    table = coding({number: number for number in range(11)})
    np.testing.assert_array_equal(read_labels(tmp_path / "l.png", table, (3, 4)), IDS)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_ids_of_few_bits_are_refused(depth):
    """Decoders stretch them to 0..255: one bit's 1 became "without label"."""
    with pytest.raises(UserError, match=rf"'here' is uint{depth} of shape \(3, 4\); make it an 8-bit PNG"):
        decode_label_png(png(IDS % 2, depth, kind=0), "here")


def test_what_is_no_png_is_refused():
    jpeg = cv2.imencode(".jpg", IDS)[1].tobytes()
    with pytest.raises(UserError, match=r"'here': it is no PNG, and JPEG changes ids; make it an 8-bit PNG"):
        decode_label_png(jpeg, "here")
    for data in (b"", png(IDS, kind=0)[:60], png(IDS, kind=0)[:20]):
        with pytest.raises(UserError, match=r"'here'; it is missing or damaged"):
            decode_label_png(data, "here")


def first_truth(tmp_path, message, drive):
    """Return the labels that a bag with one frame and the label ``message`` gives."""
    topics = {"/image": messages([drive[0].rgb]), "/truth": [(stamps()[0], message)]}
    (recording,) = open_recordings(write_bag(tmp_path / "bag", topics), ["/image"])
    return open_truth("/truth", recording, READING).of(next(recording.frames()))


@pytest.mark.parametrize(
    ("encoding", "dtype"),
    [("mono16", "uint16"), ("16UC1", "uint16"), ("32FC1", "float32"), ("bayer_rggb8", "uint8"), ("rgb16", "uint16")],
)
def test_raw_labels_in_an_encoding_of_pictures_are_refused(encoding, dtype, drive, tmp_path):
    """mono16 became "without label" everywhere, and the replay ended well."""
    labels = drive[0].labels.astype(dtype)
    ((_, message),) = messages([drive[0].labels], "mono8")
    message.data = labels.view(np.uint8).reshape(-1)
    message.encoding, message.step = encoding, labels.itemsize * 96
    with pytest.raises(UserError, match=f"labels '/truth at .* are '{encoding}', a way of sending pictures"):
        first_truth(tmp_path, message, drive)


def test_16_bit_png_labels_of_a_topic_are_refused_as_those_of_a_folder_are(drive, tmp_path):
    """They became class 0 everywhere: mIoU 0.8 for 52.3."""
    data = cv2.imencode(".png", drive[0].labels.astype(np.uint16))[1].tobytes()
    with pytest.raises(UserError, match=r"label image '/truth at .* is uint16 of shape \(64, 96\); make it an 8-bit"):
        first_truth(tmp_path, compressed(data, stamps()[0]), drive)


def test_png_labels_of_a_topic_are_ids_or_colours(drive, tmp_path):
    labels = drive[0].labels.copy()
    labels[:5] = IGNORE
    colors = CAMVID.colorize(labels)
    for number, pixels in enumerate((labels, colors[..., ::-1])):
        data = cv2.imencode(".png", pixels)[1].tobytes()
        (tmp_path / str(number)).mkdir()
        found = first_truth(tmp_path / str(number), compressed(data, stamps()[0]), drive)
        np.testing.assert_array_equal(found, labels)


def test_colours_of_nothing_are_not_class_zero(drive, tmp_path):
    """A picture that is black throughout has no label anywhere; its channels are alike, but it is no grey file."""
    data = cv2.imencode(".png", np.zeros((64, 96, 3), np.uint8))[1].tobytes()
    assert (first_truth(tmp_path, compressed(data, stamps()[0]), drive) == IGNORE).all()


def test_a_palette_of_the_label_set_counts_by_its_colours(drive, tmp_path):
    """A picture optimiser may have put the colours in another order; ids of another palette are ids."""
    order = np.random.default_rng(0).permutation(11)
    place = np.argsort(order).astype(np.uint8)
    shuffled = png(place[drive[0].labels], palette=np.array(CAMVID.colors)[order])
    strange = png(drive[0].labels, palette=np.arange(33).reshape(11, 3))
    for number, data in enumerate((shuffled, strange)):
        (tmp_path / str(number)).mkdir()
        found = first_truth(tmp_path / str(number), compressed(data, stamps()[0]), drive)
        np.testing.assert_array_equal(found, drive[0].labels)
