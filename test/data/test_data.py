import cv2
import numpy as np
import pytest

from vidseg_ros.data import Clip
from vidseg_ros.data.camvid import camvid_frames
from vidseg_ros.data.config import AugmentationConfig
from vidseg_ros.data.stills import still_to_clip
from vidseg_ros.data.stored import StoredFrame, sequences
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.io.images import read_rgb
from vidseg_ros.labels import IGNORE

VOID = 11
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def random_image(height=6, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def some_labels(height=6, width=8):
    return (np.arange(height * width).reshape(height, width) % (VOID + 1)).astype(np.uint8)


def write(path, image):
    """Write RGB or labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


@pytest.fixture
def camvid(tmp_path):
    for name in ("0016E5_f00030", "0016E5_f00032", "0001TP_006690"):
        write(tmp_path / "frames" / f"{name}.png", random_image())
        write(tmp_path / "labels" / f"{name}.png", some_labels())
    return tmp_path


def test_camvid_frames_of_both_name_styles(camvid):
    frames = camvid_frames(camvid)
    assert [frame.sequence for frame in frames] == ["0001TP", "0016E5", "0016E5"]
    assert [frame.stamp for frame in frames] == [223 * 10**9, 10**9, nanoseconds(32 / 30)]
    assert [[f.image.stem for f in run] for run in sequences(frames)] == [
        ["0001TP_006690"],
        ["0016E5_f00030", "0016E5_f00032"],
    ]


def test_reading_a_camvid_frame(camvid):
    clip = camvid_frames(camvid)[1].read()
    np.testing.assert_array_equal(clip.frames, random_image()[None])
    expected = [[IGNORE if number == VOID else number for number in row] for row in some_labels()]
    np.testing.assert_array_equal(clip.labels, [expected])
    assert clip.labels.dtype == np.uint8
    assert (clip.stamps.tolist(), clip.sequence, len(clip)) == ([10**9], "0016E5", 1)


def runs(*frames):
    """Split (scene, number) pairs; returns the numbers of each run."""
    listed = [StoredFrame(None, None, scene, nanoseconds(number / 30), None) for scene, number in frames]
    return [[round(30e-9 * frame.stamp) for frame in run] for run in sequences(listed)]


def test_sequences_end_with_scenes_and_gaps():
    assert runs(("a", 0), ("a", 2), ("b", 4), ("b", 19), ("b", 35)) == [[0, 2], [4, 19], [35]]
    assert runs(("a", 6), ("a", 4), ("a", 4)) == [[6], [4, 4]], "time does not run back within a sequence"
    assert runs() == []


def test_a_gap_of_exactly_half_a_second_is_none():
    assert [n for n in range(10000) if len(runs(("a", n), ("a", n + 15))) > 1] == []


def test_camvid_val_is_one_sequence_at_15_hz(camvid_val):
    (run,) = sequences(camvid_frames(camvid_val))
    assert len(run) == 101
    np.testing.assert_allclose(np.diff([frame.stamp for frame in run]), 1e9 / 15, atol=1)
    clip = run[50].read()
    assert clip.frames.shape == (1, 360, 480, 3)
    assert clip.labels.shape == (1, 360, 480)
    assert set(np.unique(clip.labels)) <= {*range(VOID), IGNORE}
    assert 0 < (clip.labels == IGNORE).mean() < 0.2


def test_folders_without_frames_are_named(tmp_path):
    with pytest.raises(UserError, match=r"folder '.*/frames' does not exist"):
        camvid_frames(tmp_path)
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "notes.txt").write_text("none")
    with pytest.raises(UserError, match=r"folder '.*/frames' holds no images"):
        camvid_frames(tmp_path)


@pytest.mark.parametrize("name", ["holiday.png", "0016E5_.png", "00030.png", "0016E5_30a.png"])
def test_badly_named_frame(camvid, name):
    write(camvid / "frames" / name, random_image())
    with pytest.raises(UserError, match=f"{name}' is not named SCENE_NUMBER"):
        camvid_frames(camvid)


def read_first(camvid):
    return camvid_frames(camvid)[0].read()


@pytest.mark.parametrize("where", ["frames", "labels"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_damaged_image(camvid, where, share):
    path = camvid / where / "0001TP_006690.png"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=f"{path}'; it is missing or damaged"):
        read_first(camvid)


def test_damaged_jpeg(tmp_path):
    """OpenCV fills the rest of a cut JPEG with grey and says nothing."""
    write(tmp_path / "cut.jpg", random_image(64, 64))
    assert read_rgb(tmp_path / "cut.jpg").shape == (64, 64, 3)
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut.jpg'; it is missing or damaged"):
        read_rgb(tmp_path / "cut.jpg")


def test_missing_label(camvid):
    (camvid / "labels" / "0001TP_006690.png").unlink()
    with pytest.raises(UserError, match=r"labels/0001TP_006690.png'; it is missing"):
        read_first(camvid)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (some_labels(6, 9), r"shape \(6, 9\), its frame \(6, 8\); make it"),
        (some_labels(8, 6), r"shape \(8, 6\)"),
        (random_image(), r"shape \(6, 8, 3\)"),
        (np.full((6, 8), VOID + 1, np.uint8), "holds id 12; its label set has 0, 1, .*, 10, 11, 255"),
        (np.full((6, 8), 256 + 3, np.uint16), "is uint16 of shape"),
    ],
)
def test_labels_that_do_not_fit(camvid, labels, message):
    write(camvid / "labels" / "0001TP_006690.png", labels)
    with pytest.raises(UserError, match=message):
        read_first(camvid)


CORNERS = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
NO_FLICKER = {"exposure": 0.0, "flicker": 0.0, "noise": 0.0, "shadows": 0.0}
STILL = {"zoom_speed": 0.0, "shift_speed": 0.0, "roll_speed": 0.0, "tilt": 0.0}


def coded_still(height=90, width=120, block=15):
    """An image of blocks whose colour is a corner of the RGB cube: its number is the label."""
    rows, columns = np.mgrid[:height, :width] // block
    labels = ((rows * 3 + columns) % 8).astype(np.uint8)
    return Clip(CORNERS[labels][None], labels[None], np.zeros(1), "still")


def test_still_to_clip_makes_a_clip():
    clip = still_to_clip(coded_still(), 5, (64, 48), np.random.default_rng(0))
    assert (clip.frames.shape, clip.frames.dtype) == ((5, 48, 64, 3), np.uint8)
    assert (clip.labels.shape, clip.labels.dtype) == ((5, 48, 64), np.uint8)
    assert (np.diff(clip.stamps) > 0).all()
    assert (len(clip), clip.sequence) == (5, "still")
    assert (clip.labels[0] != clip.labels[-1]).any(), "the camera moves"


def test_still_to_clip_repeats_itself_by_seed():
    first, again, other = (still_to_clip(coded_still(), 3, (64, 48), np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).any()


@pytest.mark.parametrize("seed", range(8))
def test_labels_move_with_the_image(seed):
    """Away from the edges of blocks, image and frame, the colour of each pixel still says its label."""
    motion = AugmentationConfig(**NO_FLICKER, zoom_speed=0.02, shift_speed=0.03, roll_speed=0.01)
    clip = still_to_clip(coded_still(), 4, (128, 96), np.random.default_rng(seed), motion)
    seen = (clip.frames > 127) @ np.array([4, 2, 1])
    kernel = np.ones((5, 5), np.uint8)
    inside = np.stack([cv2.dilate(x, kernel) == cv2.erode(x, kernel) for x in clip.labels]) & (clip.labels != IGNORE)
    inside[:, [0, -1]] = inside[:, :, [0, -1]] = False
    assert inside.mean() > 0.2
    np.testing.assert_array_equal(seen[inside], clip.labels[inside])


def test_what_the_image_does_not_show_has_no_label():
    still = coded_still()
    far = AugmentationConfig((0.5, 0.5), **STILL)
    clip = still_to_clip(still, 2, (120, 90), np.random.default_rng(0), far)
    assert (clip.labels == IGNORE).mean() == pytest.approx(0.75, abs=0.02)
    assert set(np.unique(clip.labels)) == {*range(8), IGNORE}
    near = AugmentationConfig((1.5, 1.5), **STILL)
    clip = still_to_clip(still, 2, (120, 90), np.random.default_rng(0), near)
    assert (clip.labels != IGNORE).all()


def test_camera_stands_still_on_demand():
    calm = AugmentationConfig((1.2, 1.2), **STILL, **NO_FLICKER)
    clip = still_to_clip(coded_still(), 3, (64, 48), np.random.default_rng(0), calm)
    assert (clip.labels == clip.labels[0]).all()
    assert (clip.frames == clip.frames[0]).all()
