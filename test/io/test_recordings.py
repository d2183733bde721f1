import cv2
import numpy as np
import pytest

from vidseg_ros.data.camvid import camvid_frames
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import Frame, discontinuity, nanoseconds
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.images import image_files
from vidseg_ros.io.recordings import open_recordings

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_folder_in_name_order(tmp_path):
    for name, color in (("b.png", GREEN), ("a.PNG", RED), ("c.jpeg", BLUE)):
        cv2.imwrite(str(tmp_path / name), np.full((4, 6, 3), color[::-1], np.uint8))
    (tmp_path / "notes.txt").write_text("none")
    (recording,) = open_recordings(tmp_path, fps=12.5)
    frames = list(recording.frames())
    assert (recording.count, recording.fps, len(frames)) == (3, 12.5, 3)
    assert [frame.rgb.argmax(2)[0, 0] for frame in frames] == [0, 1, 2]
    assert [frame.stamp for frame in frames] == [0, 80_000_000, 160_000_000]
    assert [frame.name for frame in frames] == ["a", "b", "c"]
    assert frames[0].rgb.shape == (4, 6, 3)


def write_video(path, colors, fps=20.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (64, 48))
    for color in colors:
        writer.write(np.full((48, 64, 3), color[::-1], np.uint8))
    writer.release()
    return path


def test_video(tmp_path):
    (recording,) = open_recordings(write_video(tmp_path / "film.mp4", [RED, GREEN, BLUE, RED]))
    for _ in range(2):  # begins anew each time
        frames = list(recording.frames())
        assert (recording.count, len(frames)) == (4, 4)
        assert recording.fps == pytest.approx(20)
        assert [frame.rgb.shape for frame in frames] == 4 * [(48, 64, 3)]
        assert [frame.rgb.mean((0, 1)).argmax() for frame in frames] == [0, 1, 2, 0]
        assert all(frame.rgb.mean((0, 1)).max() > 150 for frame in frames)


def test_videos_without_a_frame_are_named(tmp_path):
    (tmp_path / "garbage.mp4").write_bytes(b"not a film" * 100)
    write_video(tmp_path / "empty.mp4", [])
    for name in ("garbage.mp4", "empty.mp4"):
        with pytest.raises(UserError, match=rf"{name}' holds no video"):
            open_recordings(tmp_path / name)


@pytest.mark.parametrize("gap", [0, 1, 10**8, 5 * 10**8])
def test_time_is_whole_nanoseconds(gap):
    """A stamp that no float could hold beside its neighbour."""
    now = 1_700_000_000_123_456_789
    rgb = np.zeros((2, 2, 3), np.uint8)
    assert discontinuity(Frame(rgb, now), Frame(rgb, now + gap)) == ""
    assert discontinuity(Frame(rgb, now), Frame(rgb, now - 1)) == "time ran back by 0.000 s"


def test_nanoseconds_of_a_frame_rate():
    assert [nanoseconds(index / 15) for index in range(3)] == [0, 66_666_667, 133_333_333]


def write_frames(folder, names):
    """Write one grey level a name, in the given order."""
    folder.mkdir()
    for level, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((4, 6, 3), level, np.uint8))
    return folder


def test_files_are_read_in_the_order_in_which_people_count(tmp_path):
    """They were read as 1, 10, 2."""
    names = [f"{number}.png" for number in range(1, 12)]
    (recording,) = open_recordings(write_frames(tmp_path / "numbers", names))
    assert [frame.rgb[0, 0, 0] for frame in recording.frames()] == list(range(11))
    assert list(recording.names()) == [frame.name for frame in recording.frames()]
    names = ["a9b2.png", "a9b10.png", "a10b1.png", "b.png"]
    assert [f.name for f in image_files(write_frames(tmp_path / "mixed", names))] == names


def test_what_is_no_image_is_counted_and_ends_nothing(tmp_path):
    """One rule for all sources: a file that holds no image keeps its place, what is no frame has none."""
    folder = write_frames(tmp_path / "f", ["1.png", "2.png", "3.png", "5.png"])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:30])
    (folder / "4.png").symlink_to(folder / "nothing.png")
    (folder / "._1.png").write_bytes(b"what another system left")
    (folder / "6.png").mkdir()
    (recording,) = open_recordings(folder, fps=10)
    frames = list(recording.frames())
    good = [frame for frame in frames if isinstance(frame, Frame)]
    assert (recording.count, len(frames)) == (5, 7)
    assert [(frame.name, frame.stamp / 1e6) for frame in good] == [("1", 0), ("3", 200), ("5", 400)]
    said = [str(frame) for frame in frames if isinstance(frame, BadFrame)]
    assert ["2.png'; it is missing or damaged" in said[0], "4.png'; it is missing" in said[1]] == [True, True]
    assert said[2:] == [f"'{folder}/6.png' is a folder, and no frame", f"'{folder}/._1.png' is hidden, and no frame"]


def test_a_hidden_bag_makes_no_bag_of_a_folder(tmp_path):
    folder = write_frames(tmp_path / "f", ["1.png"])
    (folder / "._drive.mcap").touch()
    assert len(list(open_recordings(folder)[0].frames())) == 1


def test_the_folder_of_a_data_set_is_answered_by_that_of_its_frames(tmp_path):
    tmp_path = tmp_path / "data/val"
    (tmp_path / "notes").mkdir(parents=True)
    write_frames(tmp_path / "frames", ["1.png"])
    with pytest.raises(UserError, match=f"holds no images .*; name one of its folders: '{tmp_path}/frames'$"):
        open_recordings(tmp_path)
    with pytest.raises(UserError, match=f"folder '{tmp_path}/frames/frames' does not exist; name '{tmp_path}'$"):
        camvid_frames(tmp_path / "frames")
    with pytest.raises(UserError, match=f"folder '.*/frames' does not exist; name '{tmp_path}'$"):
        camvid_frames(tmp_path.parent)
