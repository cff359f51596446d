"""Plots as inline SVG: no script, no network, the same bytes for the same numbers."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

__all__ = ["bars", "lines", "reliability"]

_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 44

Point = tuple[float, float]


def lines(
    series: Sequence[tuple[str, Sequence[Point]]],
    *,
    x: str,
    y: str,
    x_range: Point | None = None,
    y_range: Point | None = None,
    marks: bool = False,
) -> str:
    """Curves through points; each series has a name and a colour of its own."""
    points = [point for _, each in series for point in each]
    x_range = x_range or _range([a for a, _ in points])
    y_range = y_range or _range([b for _, b in points])
    at = _scales(x_range, y_range)
    body = []
    for number, (name, each) in enumerate(series):
        places = [at(*point) for point in each]
        if len(places) > 1:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            body.append(f'<polyline class="s{number % 6}" fill="none" stroke-width="2" points="{path}"/>')
        if marks or len(places) == 1:
            body += [f'<circle class="s{number % 6}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in places]
        if len(series) > 1:
            top = _TOP + 14 + 16 * number
            body.append(f'<rect class="s{number % 6}" x="{_LEFT + 10}" y="{top - 8}" width="12" height="4"/>')
            body.append(f'<text x="{_LEFT + 28}" y="{top - 2}">{html.escape(name)}</text>')
    return _figure("".join(body), x_range, y_range, at, x, y)


def reliability(bins: Sequence[tuple[float, float, float]]) -> str:
    """The share of right answers against the claimed confidence, a circle per bin, its area the number of questions.

    A calibrated system lies on the diagonal. ``bins``: count, mean confidence, share right.
    """
    at = _scales((0.0, 1.0), (0.0, 1.0))
    (a, b), (c, d) = at(0, 0), at(1, 1)
    body = [f'<line class="ideal" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>']
    most = max((count for count, _, _ in bins), default=1.0) or 1.0
    for count, claimed, share in bins:
        cx, cy = at(claimed, share)
        radius = 3 + 6 * (count / most) ** 0.5
        title = f"{count:g} questions: confidence {claimed:.2f}, right {share:.2f}"
        circle = f'<circle class="s0" cx="{cx:.1f}" cy="{cy:.1f}" r="{radius:.1f}" fill-opacity="0.7">'
        body.append(f"{circle}<title>{title}</title></circle>")
    return _figure("".join(body), (0.0, 1.0), (0.0, 1.0), at, "confidence", "share of right answers")


def bars(rows: Sequence[tuple[str, float, Point | None]], *, limit: float = 1.0) -> str:
    """One horizontal bar per row, with its interval as a whisker."""
    height = 22 * len(rows) + 10
    parts = []
    for number, (name, value, interval) in enumerate(rows):
        top = 6 + 22 * number
        width = 320 * min(1.0, value / limit) if limit else 0.0
        end = 184 + width
        parts.append(f'<text x="176" y="{top + 12}" text-anchor="end">{html.escape(name)}</text>')
        parts.append(f'<rect class="s0" x="184" y="{top}" width="{width:.1f}" height="14"/>')
        if interval is not None:
            low, high = (184 + 320 * min(1.0, each / limit) for each in interval)
            ends = f"M{low:.1f} {top + 3}v8M{high:.1f} {top + 3}v8"
            parts.append(f'<path class="whisker" d="M{low:.1f} {top + 7}H{high:.1f}{ends}"/>')
            end = max(end, high)
        parts.append(f'<text x="{end + 8:.1f}" y="{top + 12}">{value:.3f}</text>')
    return f'<svg viewBox="0 0 580 {height}" width="580" height="{height}" role="img">{"".join(parts)}</svg>'


def _range(values: Sequence[float]) -> Point:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _scales(x_range: Point, y_range: Point) -> Callable[[float, float], Point]:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> Point:
        a = (x - x_range[0]) / ((x_range[1] - x_range[0]) or 1.0)
        b = (y - y_range[0]) / ((y_range[1] - y_range[0]) or 1.0)
        return _LEFT + a * width, _TOP + (1.0 - b) * height

    return at


def _figure(body: str, x_range: Point, y_range: Point, at: Callable[[float, float], Point], x: str, y: str) -> str:
    """The axes around a plot, five ticks on each."""
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img">']
    left, bottom = at(x_range[0], y_range[0])
    right, top = at(x_range[1], y_range[1])
    for step in range(5):
        tick_x = x_range[0] + (x_range[1] - x_range[0]) * step / 4
        tick_y = y_range[0] + (y_range[1] - y_range[0]) * step / 4
        a, b = at(tick_x, tick_y)
        parts.append(f'<line class="grid" x1="{a:.1f}" y1="{top:.1f}" x2="{a:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{b:.1f}" x2="{right:.1f}" y2="{b:.1f}"/>')
        parts.append(f'<text x="{a:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{_short(tick_x)}</text>')
        parts.append(f'<text x="{left - 6:.1f}" y="{b + 4:.1f}" text-anchor="end">{_short(tick_y)}</text>')
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    parts.append(body)
    parts.append(f'<text x="{middle_x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{html.escape(x)}</text>')
    turned = f'transform="rotate(-90 12 {middle_y:.1f})"'
    parts.append(f'<text x="12" y="{middle_y:.1f}" text-anchor="middle" {turned}>{html.escape(y)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 100 else f"{value:.0f}"
