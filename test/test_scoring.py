import numpy as np

from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.scoring import RunningScore


def test_figures_by_hand():
    score = RunningScore(CAMVID)
    assert set(score.report().values()) == {None}
    truth = np.asarray([[0, 0, 1, IGNORE]], np.uint8)
    score.add(np.asarray([[0, 1, 1, 5]], np.uint8), truth)
    # class 0: 1 of 2, class 1: 1 of 2; two of three pixels right
    assert score.report() == {"miou": 50.0, "acc": 66.67, "cons": None, "consw": None}
    score.add(np.asarray([[0, 1, 0, 5]], np.uint8), truth)
    # of three stable pixels two keep their label, one of these wrong
    assert (score.report()["cons"], score.report()["consw"]) == (66.67, 33.33)
    assert score.frames == 2


def test_pairs_are_not_made_across_an_interruption_or_a_change_of_size():
    score = RunningScore(CAMVID)
    for size in (2, 2, 3):
        image = np.zeros((size, size), np.uint8)
        score.add(image, image)
        if size == 2:
            score.interrupt()
    assert score.report()["cons"] is None
