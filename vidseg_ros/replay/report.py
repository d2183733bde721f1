"""The report: one HTML file that needs nothing beside it, but for the times (they differ each time)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from vidseg_ros.evaluation.bootstrap import Interval
from vidseg_ros.evaluation.counts import FIGURES, LOWER_IS_BETTER, Counts, figures
from vidseg_ros.evaluation.scores import VideoScores, by_class, meanings
from vidseg_ros.files import write_atomic
from vidseg_ros.replay.charts import bar_chart, line_chart
from vidseg_ros.replay.run import MARKS
from vidseg_ros.replay.sealed import LATENCY
from vidseg_ros.replay.summary import Recorded, Summary

TIMES = "latency.html"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 900px; margin: 2em auto; padding: 0 1em; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; } th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; } .matrix td, .matrix th { padding: 2px 5px; font-size: 12px; }
.verdict { background: #f1f6fb; border-left: 4px solid #1f6fb4; padding: .7em 1em; } .bad { color: #a00; }
svg { max-width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: #555; }
img { max-width: 100%; } figure { margin: 1em 0; } figcaption, .legend, .small { font-size: 13px; color: #555; }
pre { background: #f6f6f6; padding: 1em; overflow: auto; } iframe { border: 0; width: 100%; height: 12em; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML file."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def report(title: str, summary: Summary) -> str:
    """The report as a page."""
    return page(f"vidseg {title}", [f"<h1>{escape(title.capitalize())}</h1>", *_sections(summary)])


def times(summary: Summary) -> str:
    """The page with the times."""
    rows = [
        [recording, checkpoint, name, *(f"{value:.1f}" if value is not None else "-" for value in values.values())]
        for recording, checkpoints in summary.latency().items()
        for checkpoint, by_name in checkpoints.items()
        for name, values in by_name.items()
    ]
    return page("latency", [_table(["recording", "checkpoint", "", "p50", "p95"], rows)])


def _sections(summary: Summary) -> Iterator[str]:
    if summary.verdict:
        yield f'<p class="verdict">{escape(summary.verdict)}</p>'
    yield from (f'<p class="bad">{escape(problem)}</p>' for problem in summary.problems)
    yield "<h2>Summary</h2>" + _summary_table(summary)
    yield "<h2>Recordings</h2>" + _recordings(summary)
    yield "<h2>Over time</h2>"
    for recorded in summary.recordings:
        yield _over_time(summary, recorded)
    yield "<h2>By class</h2>" + _by_class(summary)
    if any(counts["score"]["matrix"].any() for counts in summary.totals):
        yield "<h2>Confusion</h2>"
        for name, counts in zip(summary.checkpoints, summary.totals, strict=True):
            yield f"<h3>{escape(name)}</h3>" + _confusion(summary, counts)
    yield "<h2>Worst frames</h2>" + _worst(summary)
    yield f'<h2>Latency</h2><iframe src="{TIMES}" title="latency"></iframe>'
    yield f'<p class="small">Times differ from run to run, so they stand in {TIMES} beside this file.</p>'
    yield f"<h2>Checkpoint and configuration</h2><pre>{escape(yaml.safe_dump(_plain(summary), sort_keys=False))}</pre>"


def _plain(summary: Summary) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(json.dumps(summary.config))  # YAML knows no tuples
    return config | {"label_set": summary.labels.name}


def _summary_table(summary: Summary) -> str:
    names = summary.checkpoints
    header = ["percent", *names, *(["difference", ""] if len(names) > 1 else [])]
    rows = []
    for key, title in FIGURES.items():
        intervals = [intervals[key] for intervals in summary.comparison.checkpoints]
        if all(interval.value is None for interval in intervals):
            continue
        row = [title + (" (lower is better)" if key in LOWER_IS_BETTER else ""), *map(_interval, intervals)]
        if len(names) > 1:
            difference = summary.comparison.difference[key]
            row += [_interval(difference, "+"), "real" if difference.excludes_zero else "open"]
        rows.append(row)
    note = "In brackets: 95 % bootstrap intervals. Without ground truth, only the lower rows can be measured."
    about = meanings({key: interval.value for key, interval in summary.comparison.checkpoints[0].items()})
    notes = [note, *(f"{FIGURES[key]}: {text}." for key, text in about.get("about", {}).items())]
    return _table(header, rows) + "".join(f'<p class="small">{escape(text)}</p>' for text in notes)


def _interval(interval: Interval, sign: str = "") -> str:
    if interval.value is None:
        return "-"
    if interval.low is None:
        return f"{interval.value:{sign}.2f}"
    return f"{interval.value:{sign}.2f} [{interval.low:{sign}.2f}, {interval.high:{sign}.2f}]"


def _recordings(summary: Summary) -> str:
    rows = []
    for recorded in summary.recordings:
        result = recorded.result
        counts = [result["frames"], result["rejected"], len(result["resets"]), result["unmatched"]]
        counts.append(result.get("repeated", 0))  # of a drive that was judged live: the nodes count them
        state = "whole" if result["complete"] else f"ended early: {result['problem']}"
        rows.append([recorded.name, *map(str, counts), state])
    notes = "".join(f'<p class="small">{escape(note)}</p>' for note in summary.notes)
    return _table(["recording", "frames", "rejected", "resets", "without labels", "repeated stamps", ""], rows) + notes


def _over_time(summary: Summary, recorded: Recorded) -> str:
    evaluated = recorded.result["courses"][MARKS[0]]
    scores, parts = VideoScores(summary.labels), [f"<h3>{escape(recorded.name)}</h3>"]
    found = {
        name: [figures(counts, scores) for counts in recorded.blocks[mark]]
        for mark, name in zip(MARKS, summary.checkpoints, strict=False)
    }
    for key in ("cons", "tc_visible", "flicker"):
        series = {name: [_known(values[key].item()) for values in blocks] for name, blocks in found.items()}
        if any(value is not None for line in series.values() for value in line):
            length = evaluated["block_frames"]
            unit = f"{FIGURES[key]}, percent, " + (f"over {length} frames" if length > 1 else "frame by frame")
            parts.append(line_chart(evaluated["starts"], series, unit))
    return "".join(parts)


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - NaN


def _by_class(summary: Summary) -> str:
    values = [figures(counts, VideoScores(summary.labels)) for counts in summary.totals]
    parts = []
    for title, key in (("Intersection over union", "iou"), ("Raw flicker rate", "flicker_by_class")):
        bars = {
            name: by_class(summary.labels, value[key]) for name, value in zip(summary.checkpoints, values, strict=True)
        }
        if any(value is not None for bar in bars.values() for value in bar.values()):
            parts.append(f"<h3>{title}, percent</h3>{bar_chart(bars)}")
    return "".join(parts)


def _confusion(summary: Summary, counts: Counts) -> str:
    matrix = counts["score"]["matrix"].double()
    shares = 100 * matrix / matrix.sum(1, keepdim=True)
    header = "".join(f"<th>{escape(name)}</th>" for name in ["true \\ predicted", *summary.labels.names])
    rows = []
    for name, row in zip(summary.labels.names, shares.tolist(), strict=True):
        cells = "".join(_cell(value) for value in row[: len(summary.labels)])
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return f'<table class="matrix"><tr>{header}</tr>{"".join(rows)}</table>'


def _cell(share: float) -> str:
    if _known(share) is None:
        return "<td></td>"
    return f'<td style="background:rgba(31,111,180,{share / 100:.2f})">{share:.1f}</td>'


def _worst(summary: Summary) -> str:
    caption = (
        "Above: the frame before and the frame, with predicted labels. Below: white where the prediction changed "
        "although it should not have; and white where it may change, because the true label does (as in Figure 3 of "
        "the F2F paper), or without ground truth because the point is hidden."
    )
    parts = [f'<p class="small">{caption}</p>']
    for recorded in summary.recordings:
        for mark, name in zip(MARKS, summary.checkpoints, strict=False):
            for worst in recorded.result["courses"][mark]["worst"]:
                picture = base64.b64encode((recorded.folder / worst["file"]).read_bytes()).decode()
                text = f"{recorded.name}, {name}: frame {worst['frame']} at {worst['seconds']:.2f} s"
                text += f", {100 * worst['share']:.1f} % of the pixels that should have stayed"
                image = f'<img alt="" src="data:image/jpeg;base64,{picture}">'
                parts.append(f"<figure>{image}<figcaption>{escape(text)}</figcaption></figure>")
    return "".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


METRICS, REPORT = "metrics.json", "report.html"


def write_report(title: str, summary: Summary, folder: Path) -> dict[str, Any]:
    """Write report.html and metrics.json to ``folder``, and the times beside them; returns the metrics."""
    metrics = summary.metrics()
    for name, values in ((METRICS, metrics), (LATENCY, summary.latency())):
        write_atomic(folder / name, (json.dumps(values, indent=2) + "\n").encode())
    for name, page in ((TIMES, times(summary)), (REPORT, report(title, summary))):
        write_atomic(folder / name, page.encode(errors="backslashreplace"))  # names need not be text
    return metrics
