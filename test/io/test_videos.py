"""Videos: each frame at its own time, and what is missing is said."""

from fractions import Fraction

import av
import numpy as np
import pytest

from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.recordings import open_recordings

FPS = 10
CONTAINERS = [("a.avi", "mjpeg"), ("a.mkv", "mpeg4"), ("a.mp4", "mpeg4"), ("a.mov", "mpeg4"), ("a.webm", "libvpx")]


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def write_video(path, codec="mpeg4", times=range(0, 4000, 100), turned=0, clock=None):
    """Write pictures shown at ``times``, milliseconds; the index comes first where it can."""
    grid = Fraction(1, FPS) if clock is None else clock
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = grid
        if turned:
            stream.set_display_rotation(turned)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time, 1000) / grid), grid
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def damage(path, frame):
    """Fill a frame of an .avi with zeros."""
    data = bytearray(path.read_bytes())
    _, *starts = (place for place in range(len(data)) if data[place : place + 4] == b"00dc")  # the first is a header's
    size = int.from_bytes(data[starts[frame] + 4 : starts[frame] + 8], "little")
    data[starts[frame] + 8 : starts[frame] + 8 + size] = bytes(size)
    path.write_bytes(data)
    return path


def read(path):
    """Return the stamps of what can be read, milliseconds, the number of bad frames, and what is said at the end."""
    stamps, bad = [], 0
    (recording,) = open_recordings(path)
    try:
        for frame in recording.frames():
            if isinstance(frame, BadFrame):
                bad += 1
            else:
                stamps.append(frame.stamp / 1e6)
    except UserError as error:
        return stamps, bad, str(error)
    return stamps, bad, ""


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_a_whole_video_is_whole(name, codec, tmp_path):
    path = write_video(tmp_path / name, codec)
    (recording,) = open_recordings(path)
    assert (recording.count, recording.fps) == (40, pytest.approx(FPS))
    assert read(path) == ([100.0 * index for index in range(40)], 0, "")
    assert [frame.name for frame in recording.frames()] == list(recording.names())


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_video_that_is_cut_is_not_whole(name, codec, share, tmp_path):
    whole = write_video(tmp_path / name, codec).read_bytes()
    path = tmp_path / f"cut{name}"
    path.write_bytes(whole[: round(share * len(whole))])
    stamps, _, said = read(path)
    assert 5 < len(stamps) < 40
    assert stamps == [100.0 * index for index in range(len(stamps))], "what is there keeps its time"
    assert f"'{path}' is cut: " in said and "of about 40 frames can be read" in said and "of 4.0 s" in said


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
def test_a_variable_rate_keeps_the_times_of_the_container(name, tmp_path):
    """They became 0, 550, 1100: the average rate, pauses included; each frame reset the memory."""
    times = [0, 100, 200, 300, 400, 500, 5000, 5100, 5200, 5300, 9000]
    path = write_video(tmp_path / name, times=times, clock=Fraction(1, 1000))
    assert read(path) == ([float(time) for time in times], 0, "")
    assert open_recordings(path)[0].fps == pytest.approx(10)


def test_a_damaged_frame_is_counted_and_the_others_keep_their_times(tmp_path):
    stamps, bad, said = read(damage(write_video(tmp_path / "film.avi", "mjpeg"), 6))
    assert (len(stamps), bad, said) == (39, 1, "")
    assert stamps[7] == 800.0


def test_frames_that_a_container_promises_are_counted(tmp_path):
    """The last packet of a film is emptied: its length in time is still there, its picture is not."""
    path = write_video(tmp_path / "film.mp4")
    data = bytearray(path.read_bytes())
    size = data.index(b"stsz") + 16 + 4 * 39
    data[size : size + 4] = bytes(4)
    path.write_bytes(data)
    stamps, bad, said = read(path)
    assert (len(stamps), bad, said) == (39, 1, "")


@pytest.mark.parametrize(("turned", "quarters"), [(90, 1), (180, 2), (-90, -1)])
def test_a_picture_is_turned_as_the_camera_was_held(turned, quarters, tmp_path):
    """As OpenCV 5 turns it; OpenCV 4.6 turns the other way."""
    turned_film, film = (
        write_video(tmp_path / f"{name}.mp4", times=[0, 100], **how)
        for name, how in (("turned", {"turned": turned}), ("film", {}))
    )
    frame, plain = (next(open_recordings(path)[0].frames()) for path in (turned_film, film))
    np.testing.assert_array_equal(frame.rgb, np.rot90(plain.rgb, quarters))


def test_sound_that_is_longer_than_the_pictures_is_no_cut(tmp_path):
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        stream, sound = container.add_stream("mpeg4", rate=FPS), container.add_stream("pcm_s16le", rate=8000)
        stream.width, stream.height = 64, 48
        for index in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode())
        for index in range(50):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts = 8000, 800 * index
            container.mux(sound.encode(silence))
        container.mux(sound.encode())
    stamps, bad, said = read(tmp_path / "film.mkv")
    assert (len(stamps), bad, said) == (10, 0, "")


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\nfilm.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile film.mp4\n",
    ],
)
def test_a_playlist_in_the_guise_of_a_video_opens_nothing_else(playlist, tmp_path, monkeypatch):
    write_video(tmp_path / "film.mp4")
    (tmp_path / "list.mp4").write_text(playlist)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="holds no video that FFmpeg can read"):
        open_recordings(tmp_path / "list.mp4")


def test_frames_are_frames(tmp_path):
    (recording,) = open_recordings(write_video(tmp_path / "film.mp4", times=[0]))
    (frame,) = recording.frames()
    assert isinstance(frame, Frame) and frame.rgb.dtype == np.uint8 and frame.rgb.flags.c_contiguous
