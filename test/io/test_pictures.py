"""Films serve looking only: whatever ends them ends nothing else."""

import cv2
import numpy as np
import pytest

from vidseg_ros.io.pictures import Film


def shot(number, size=(48, 64)):
    return np.full((*size, 3), 20 * number + 10, np.uint8)


def shown(path):
    """Return the rate and the pictures of a film."""
    film, pictures = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        pictures.append(read[1])
    return film.get(cv2.CAP_PROP_FPS), pictures


@pytest.mark.parametrize(
    ("fps", "rate"), [(15, 15), (14.985, 14.985), (0.001, 1), (12_000, 120), (1e9, 120), (float("inf"), 120)]
)
def test_any_rate_makes_a_film(fps, rate, tmp_path):
    """Messages of one stamp had 12,000 Hz, and the encoder's refusal ended the replay."""
    with Film(tmp_path / "f.mp4", fps) as film:
        for number in range(5):
            film.append(shot(number))
    found, pictures = shown(tmp_path / "f.mp4")
    assert film.problem == "" and found == pytest.approx(rate, rel=1e-3)
    assert [round(picture.mean()) for picture in pictures] == pytest.approx([10, 30, 50, 70, 90], abs=2)
    assert cv2.imread(str(tmp_path / "f.png")).mean() == 90


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (1, 1)), ((9, 9001), (4, 4096)), ((63, 97), (63, 97))])
def test_any_size_makes_a_film(size, expected, tmp_path):
    with Film(tmp_path / "f.mp4", 15) as film:
        film.append(shot(1, size))
        film.append(shot(2, (50, 60)))  # a film has the size of its first picture
    _, pictures = shown(tmp_path / "f.mp4")
    assert film.problem == "" and [picture.shape[:2] for picture in pictures] == [expected] * 2


def test_a_film_that_cannot_be_written_is_said(tmp_path):
    with Film(tmp_path / "nowhere/f.mp4", 15) as film:
        film.append(shot(0))
        film.append(shot(1))
    assert "no film" in film.problem and "nowhere/f.mp4" in film.problem and "\n" not in film.problem


def test_a_film_without_pictures_is_none(tmp_path):
    with Film(tmp_path / "f.mp4", 15) as film:
        pass
    assert (film.problem, list(tmp_path.iterdir())) == ("", [])
