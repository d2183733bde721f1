"""The replay of one recording: frames through checkpoints, into scores, pictures and files."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice, tee
from pathlib import Path
from typing import Any

import numpy as np

from vidseg_ros.bidirectional import BidirectionalStream
from vidseg_ros.engines import Engine
from vidseg_ros.errors import UserError, describe
from vidseg_ros.evaluation.recording_evaluator import RecordingEvaluator
from vidseg_ros.evaluation.worst_frames import SegmentedFrame
from vidseg_ros.flow.estimator import one_thread
from vidseg_ros.flow.motion import Motion
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.recordings import Recording
from vidseg_ros.labels import find_label_set
from vidseg_ros.replay.config import ReplayConfig
from vidseg_ros.replay.ground_truth import Reading, open_truth
from vidseg_ros.replay.journal import Entry, JournaledStream
from vidseg_ros.replay.outputs import Outputs
from vidseg_ros.replay.sealed import LATENCY, RESULT, write_sealed
from vidseg_ros.stream import Segmentation

WORK = ".work"
MARKS = ("a", "b")  # of the two checkpoints
REMEMBERED_TIMES = 100_000  # frames
Times = deque[float]
Answer = Entry | Segmentation


class Run:
    """The replay of one recording."""

    def __init__(self, recording: Recording, folder: Path, config: ReplayConfig, engines: list[Engine]) -> None:
        self.recording, self.folder, self.config = recording, folder, config
        self.labels = engines[0].labels
        palette = find_label_set(config.palette) if config.palette else self.labels
        self.truth = open_truth(config.labels, recording, Reading(palette, self.labels))
        marks = MARKS[: len(engines)]
        self.engines = dict(zip(marks, engines, strict=True))
        self.journaled: dict[str, JournaledStream] = {}
        if not config.bidirectional:
            self.journaled = {
                mark: JournaledStream(engine, config.stream, folder / WORK / mark)
                for mark, engine in self.engines.items()
            }
        self.evaluators = {mark: RecordingEvaluator(self.labels, self.truth is not None) for mark in marks}
        self.times: dict[str, Times] = {mark: deque(maxlen=REMEMBERED_TIMES) for mark in marks}
        self.before: Frame | None = None
        self.start: int | None = None
        self.frames = self.unmatched = self.rejected = self.repeated = 0
        self.resets: list[dict[str, Any]] = []
        self.problem = ""
        self.notes: list[str] = []
        self.broken: UserError | OSError | None = None  # why the recording ended early

    def run(self, progress: Callable[[], None]) -> None:
        """Replay all; whatever ends it, results are written."""
        complete = False
        try:
            count = len(self.engines)
            outputs = Outputs(self.folder, self.recording.camera, self.recording.fps, self.labels, count)
            with one_thread(), outputs:
                for frame, answers in self._answered():
                    self._step(frame, answers, outputs)
                    progress()
            if self.broken is not None:
                raise self.broken
            self.notes += [outputs.problem] if outputs.problem else []
            self._require_matches()
            complete = True
        except (UserError, OSError) as error:
            self.problem = describe(error)
            raise
        except KeyboardInterrupt:
            self.problem = "interrupted"
            raise
        finally:
            self._finish(complete)

    def _frames(self) -> Iterator[Frame]:
        """Read frames as far as that goes; what holds no image is counted and skipped, as by the node."""
        try:
            for frame in islice(self.recording.frames(), self.config.frames):
                if isinstance(frame, BadFrame):
                    self.rejected += 1
                    self.problem = str(frame)
                else:
                    yield frame
        except (UserError, OSError) as error:  # frames may still wait for their answers
            self.broken = error

    def _answered(self) -> Iterator[tuple[Frame, dict[str, Answer]]]:
        """Each frame with the answers to it by mark; where they wait for frames behind it, so do those read so far."""
        frames, *copies = tee(self._frames(), 1 + len(self.engines))
        streams = [self._answers(mark, copy) for mark, copy in zip(self.engines, copies, strict=True)]
        for frame, *answers in zip(frames, *streams, strict=True):
            yield frame, dict(zip(self.engines, answers, strict=True))

    def _answers(self, mark: str, frames: Iterator[Frame]) -> Iterator[Answer]:
        if mark in self.journaled:
            return map(self.journaled[mark].step, frames)
        both = BidirectionalStream(self.engines[mark], self.config.stream)
        return (answer for _, answer in both.segment(frames))

    def _step(self, frame: Frame, answers: Mapping[str, Answer], outputs: Outputs) -> None:
        truth = self.truth.of(frame) if self.truth else None
        self.unmatched += self.truth is not None and truth is None
        overlays = outputs.write(frame, [answer.labels for answer in answers.values()])
        reset = next(iter(answers.values())).reset
        self.start = frame.stamp if self.start is None else self.start
        seconds = (frame.stamp - self.start) * 1e-9
        if reset:
            self.resets.append({"frame": self.frames, "seconds": seconds, "reason": reset})
        joined = self.before if not reset else None
        motion = None if joined is None else Motion.between(joined.rgb, frame.rgb)
        for (mark, answer), overlay in zip(answers.items(), overlays, strict=True):
            segmented = SegmentedFrame(answer.labels, overlay, truth)
            self.evaluators[mark].add(self.frames, seconds, segmented, motion, begins=bool(reset))
            if mark in self.journaled:
                self.times[mark].append(answer.model_ms)
        self.repeated += self.before is not None and self.before.stamp == frame.stamp
        self.before = frame
        self.frames += 1

    def _require_matches(self) -> None:
        if not self.frames:
            raise UserError(
                f"'{self.recording.path}' holds no usable frame ({self.problem or 'it is empty'}); record it again"
            )
        if self.truth is not None and self.unmatched == self.frames:
            raise UserError(
                f"none of {self.frames} frames of '{self.recording.path}' has labels in '{self.config.labels}'; "
                "give them the stamps or names of their frames"
            )

    def _finish(self, complete: bool) -> None:
        """Write what was found; the journals have done their work when all is done."""
        for stream in self.journaled.values():
            stream.close()
        about = {
            "input": str(self.recording.path),
            "camera": self.recording.camera,
            "complete": complete,
            "problem": self.problem,
            "frames": self.frames,
            "rejected": self.rejected,
            "unmatched": self.unmatched,
            "repeated": self.repeated,
            "resets": self.resets,
            "notes": self.notes,
        }
        write_result(self.folder, about, self.evaluators, {"model_ms": self.times})
        if complete:
            for mark in self.journaled:
                shutil.rmtree(self.folder / WORK / mark)


def write_result(
    folder: Path,
    about: Mapping[str, Any],
    evaluators: Mapping[str, RecordingEvaluator],
    times: Mapping[str, Mapping[str, Times]],
) -> None:
    """Write what was found on one recording: result.json, latency.json and the pictures of the worst frames.

    ``evaluators`` by mark; ``times`` (ms) by what they are and mark.
    """
    latency = {name: {mark: percentiles(of) for mark, of in by_mark.items()} for name, by_mark in times.items()}
    result = {**about, "courses": {mark: evaluator.finish(folder, mark) for mark, evaluator in evaluators.items()}}
    write_sealed(folder / LATENCY, latency)
    write_sealed(folder / RESULT, result)


def percentiles(times: Collection[float]) -> dict[str, float | None]:
    """Return ``p50`` and ``p95``, to hundredths; None where nothing was measured."""
    return {f"p{p}": round(float(np.percentile(list(times), p)), 2) if times else None for p in (50, 95)}
