"""Forward and backward through a recorded video: the mean of both at each frame (GRFP, section 3 and Table 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from torch import Tensor

F = TypeVar("F")
Step = Callable[[F, F | None, Any], tuple[Tensor, Any]]
"""``step(frame, before, state)``: probabilities of a frame, and the state behind it. ``before``: the frame that was
taken before, whichever comes first in the video; it and the state are None at the beginning."""

CHUNK = 16  # frames whose probabilities are kept at a time
AHEAD = 8  # frames behind a chunk from which the way back begins; the paper takes 4


def forward_backward(frames: Iterable[F], step: Step[F]) -> Iterator[tuple[F, Tensor]]:
    """Each frame of a sequence with the mean of what ``step`` says on the way forward and on the way back.

    The way forward goes through the whole sequence, the way back begins AHEAD frames behind each CHUNK, so that
    memory is bounded however long the video is. Both take the same weights.
    """
    source, window = iter(frames), list[F]()
    state, before = None, None
    while window := [*window, *islice(source, CHUNK + AHEAD - len(window))]:
        answers = []
        for frame in window[:CHUNK]:
            answer, state = step(frame, before, state)
            answers.append(answer)
            before = frame
        for number, answer in _way_back(window, step):
            if number < len(answers):
                answers[number] = (answers[number] + answer) / 2
        yield from zip(window, answers, strict=False)
        window = window[CHUNK:]


def _way_back(window: list[F], step: Step[F]) -> Iterator[tuple[int, Tensor]]:
    """What is said of the frames of a window from its end, by their numbers."""
    state, after = None, None
    for number in reversed(range(len(window))):
        answer, state = step(window[number], after, state)
        yield number, answer
        after = window[number]
