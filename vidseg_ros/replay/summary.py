"""The figures over all recordings: what metrics.json holds, and the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidseg_ros.evaluation.bootstrap import Comparison, compare, verdict
from vidseg_ros.evaluation.counts import Counts, from_json, report_of, total
from vidseg_ros.evaluation.scores import meanings
from vidseg_ros.files import distinct
from vidseg_ros.labels import LabelSet
from vidseg_ros.replay.run import MARKS
from vidseg_ros.replay.sealed import LATENCY, RESULT, read_result, read_sealed


@dataclass(frozen=True)
class Recorded:
    """What was found on one recording, in ``folder``: its result.json, and blocks of counts by checkpoint."""

    folder: Path
    result: Mapping[str, Any]
    blocks: Mapping[str, Sequence[Counts]]

    @property
    def name(self) -> str:
        """Its input, and the camera where there are several."""
        return f"{self.result['input']} {self.result['camera']}".strip()


def read_results(folder: Path, labels: LabelSet) -> list[Recorded]:
    """Read the results below the folder of one input; those of no frame, and damaged ones, are left out."""
    found = []
    for file in sorted(folder.rglob(RESULT)):
        result = read_result(file.parent)
        if result is None:  # of a run that was interrupted before it came to do this anew
            continue
        blocks = {
            mark: [from_json(counts, labels) for counts in evaluated["blocks"]]
            for mark, evaluated in result["courses"].items()
        }
        if result["frames"]:
            found.append(Recorded(file.parent, result, blocks))
    return found


@dataclass(frozen=True)
class Summary:
    """Everything about what one or two ``checkpoints``, by name, did; ``config`` says how they were run."""

    checkpoints: Sequence[str]
    config: Mapping[str, Any]
    labels: LabelSet
    recordings: Sequence[Recorded]
    problems: Sequence[str]
    comparison: Comparison
    totals: Sequence[Counts]  # of each checkpoint

    @property
    def verdict(self) -> str:
        """Whether the difference is real; "" without a second checkpoint."""
        return verdict(self.comparison, *self.checkpoints) if len(self.checkpoints) > 1 else ""

    @property
    def notes(self) -> list[str]:
        """What is lacking of what only serves looking."""
        return [note for recorded in self.recordings for note in recorded.result.get("notes", [])]

    def metrics(self) -> dict[str, Any]:
        """Content of metrics.json; no time that was measured, so that it is the same each time."""
        figures = [self._figures(number) for number in range(len(self.checkpoints))]
        report = (
            figures[0]
            | meanings(figures[0])
            | {
                "frames": sum(recorded.result["frames"] for recorded in self.recordings),
                "dataset": ", ".join(recorded.name for recorded in self.recordings),
                "config": self.config,
                "recordings": [self._recording(recorded) for recorded in self.recordings],
                "problems": list(self.problems),
            }
        )
        if len(self.checkpoints) > 1:
            difference = {name: asdict(interval) for name, interval in self.comparison.difference.items()}
            report["compare"] = figures[1] | {"difference": difference, "verdict": self.verdict}
        return report

    def _figures(self, number: int) -> dict[str, Any]:
        intervals = self.comparison.checkpoints[number]
        return report_of(self.totals[number], self.labels) | {
            "checkpoint": self.checkpoints[number],
            "intervals": {name: [interval.low, interval.high] for name, interval in intervals.items()},
        }

    def _recording(self, recorded: Recorded) -> dict[str, Any]:
        about = {key: value for key, value in recorded.result.items() if key != "courses"}
        figures = {
            checkpoint: report_of(total(recorded.blocks[mark]), self.labels)
            for mark, checkpoint in zip(MARKS, self.checkpoints, strict=False)
        }
        return about | {"figures": figures}

    def latency(self) -> dict[str, Any]:
        """Content of latency.json: percentiles (ms) by recording, checkpoint and what they are the time of."""
        names = distinct([recorded.name for recorded in self.recordings])
        times = [read_sealed(recorded.folder / LATENCY) or {} for recorded in self.recordings]
        measured = dict(zip(names, times, strict=True))
        return {
            recording: {
                checkpoint: {name: by_mark[mark] for name, by_mark in times.items()}
                for mark, checkpoint in zip(MARKS, self.checkpoints, strict=False)
            }
            for recording, times in measured.items()
        }


def summarize(
    checkpoints: Sequence[str],
    config: Mapping[str, Any],
    labels: LabelSet,
    recordings: Sequence[Recorded],
    problems: Sequence[str],
) -> Summary:
    """Add up what was found; there must be a recording."""
    by_checkpoint = [[recorded.blocks[mark] for recorded in recordings] for mark in MARKS[: len(checkpoints)]]
    totals = [total([counts for blocks in counted for counts in blocks]) for counted in by_checkpoint]
    return Summary(checkpoints, config, labels, recordings, problems, compare(by_checkpoint, labels), totals)
