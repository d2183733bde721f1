"""Charts as SVG text: the same numbers give the same bytes, and a page needs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLORS = ("#1f6fb4", "#d9622b")  # of the two checkpoints
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 860, 220, 52, 26, 10
ROW, NAMES = 30, 130  # height of a class in a bar chart, width of its name

Series = Sequence[float | None]


def line_chart(seconds: Sequence[float], series: Mapping[str, Series], unit: str) -> str:
    """Draw values over time, one line each; None leaves a gap."""
    values = [value for line in series.values() for value in line if value is not None]
    if not values or len(seconds) < 2:
        return "<p>Too short for a chart.</p>"
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    start, span = seconds[0], (seconds[-1] - seconds[0]) or 1.0

    def place(second: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT) * (second - start) / span
        return f"{x:.1f},{TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low):.1f}"

    lines = [_grid(low, high, start, start + span, unit)]
    for color, line in zip(COLORS, series.values(), strict=False):
        for run in _runs(seconds, line):
            points = " ".join(place(*point) for point in run)
            lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    return _legend(list(series)) + _svg(WIDTH, HEIGHT, lines)


def _runs(seconds: Sequence[float], line: Series) -> list[list[tuple[float, float]]]:
    """Stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for second, value in zip(seconds, line, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((second, value))
    return [run for run in runs if run]


def _grid(low: float, high: float, start: float, end: float, unit: str) -> str:
    parts = []
    for step in range(5):
        y = TOP + (HEIGHT - TOP - BOTTOM) * step / 4
        value = high - (high - low) * step / 4
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    y = HEIGHT - 6
    parts.append(f'<text x="{LEFT}" y="{y}">{start:.1f} s</text>')
    parts.append(f'<text x="{WIDTH}" y="{y}" text-anchor="end">{end:.1f} s</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{y}" text-anchor="middle">{escape(unit)}</text>')
    return "".join(parts)


def bar_chart(bars: Mapping[str, Mapping[str, float | None]]) -> str:
    """Draw percentages by class, a bar a checkpoint: checkpoint -> class -> value."""
    classes = list(next(iter(bars.values())))
    parts = []
    for row, name in enumerate(classes):
        y = row * ROW
        parts.append(f'<text x="{NAMES - 8}" y="{y + ROW / 2 + 3}" text-anchor="end">{escape(name)}</text>')
        height = (ROW - 6) / len(bars)
        for number, values in enumerate(bars.values()):
            value, top = values[name], y + 2 + number * height
            text = "not there" if value is None else f"{value:.1f}"
            width = (WIDTH - NAMES - 60) * (value or 0) / 100
            parts.append(
                f'<rect x="{NAMES}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{COLORS[number]}"/>'
                f'<text x="{NAMES + width + 5:.1f}" y="{top + height / 2 + 4:.1f}">{text}</text>'
            )
    return _legend(list(bars)) + _svg(WIDTH, ROW * len(classes), parts)


def _legend(names: Sequence[str]) -> str:
    marks = (f'<span style="color:{c}">&#9632; {escape(n)}</span>' for c, n in zip(COLORS, names, strict=False))
    return f'<p class="legend">{" &nbsp; ".join(marks)}</p>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
