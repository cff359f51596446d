"""Plots as inline SVG: no script, no network, the same bytes for the same numbers."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

__all__ = ["bars", "lines", "reliability", "standalone"]

_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 26, 44
#: Colours of the series, for a file of its own; a report has its own, for dark screens too.
_COLOURS = ("#2463a6", "#c4571a", "#2f8a57", "#7b4bb3", "#a88512", "#5b6877")

Point = tuple[float, float]


def lines(
    series: Sequence[tuple[str, Sequence[Point]]],
    *,
    x: str,
    y: str,
    x_range: Point | None = None,
    y_range: Point | None = None,
    marks: bool = False,
    x_ticks: Sequence[tuple[float, str]] | None = None,
    titles: Sequence[Sequence[str]] = (),
) -> str:
    """Curves through points; each series has a name and a colour of its own.

    ``x_ticks``: places on the x axis with what stands there, instead of five numbers. ``titles``: for each series, what
    is told of each of its marks.
    """
    points = [point for _, each in series for point in each]
    x_range = x_range or _range([a for a, _ in points])
    y_range = y_range or _range([b for _, b in points])
    at = _scales(x_range, y_range)
    body = []
    legend = float(_LEFT)
    for number, (name, each) in enumerate(series):
        places = [at(*point) for point in each]
        if len(places) > 1:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            body.append(f'<polyline class="s{number % 6}" fill="none" stroke-width="2" points="{path}"/>')
        if marks or len(places) == 1:
            told = titles[number] if number < len(titles) else [""] * len(places)
            for (a, b), title in zip(places, told, strict=True):
                circle = f'<circle class="s{number % 6}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"'
                body.append(f"{circle}><title>{html.escape(title)}</title></circle>" if title else f"{circle}/>")
        if len(series) > 1:
            body.append(f'<rect class="s{number % 6}" x="{legend:.0f}" y="8" width="12" height="4"/>')
            body.append(f'<text x="{legend + 16:.0f}" y="14">{html.escape(name)}</text>')
            legend += 34 + 6.5 * len(name)
    return _figure("".join(body), x_range, y_range, at, x, y, x_ticks)


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


def _figure(
    body: str,
    x_range: Point,
    y_range: Point,
    at: Callable[[float, float], Point],
    x: str,
    y: str,
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> str:
    """The axes around a plot, five ticks on each."""
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img">']
    left, bottom = at(x_range[0], y_range[0])
    right, top = at(x_range[1], y_range[1])
    for place, text in _ticks(x_range) if x_ticks is None else x_ticks:
        a, _ = at(place, 0.0)
        parts.append(f'<line class="grid" x1="{a:.1f}" y1="{top:.1f}" x2="{a:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<text x="{a:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{html.escape(text)}</text>')
    for place, text in _ticks(y_range):
        _, b = at(0.0, place)
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{b:.1f}" x2="{right:.1f}" y2="{b:.1f}"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{b + 4:.1f}" text-anchor="end">{text}</text>')
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    parts.append(body)
    parts.append(f'<text x="{middle_x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{html.escape(x)}</text>')
    turned = f'transform="rotate(-90 12 {middle_y:.1f})"'
    parts.append(f'<text x="12" y="{middle_y:.1f}" text-anchor="middle" {turned}>{html.escape(y)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def _ticks(range_: Point) -> list[tuple[float, str]]:
    """Five places, with the digits that they have, or that tell them apart."""
    low, high = range_
    step = (high - low) / 4
    places = [low + step * number for number in range(5)]
    exact = next((n for n in range(6) if all(abs(round(each, n) - each) <= 0.02 * step for each in places)), 6)
    apart = next((n for n in range(2, 6) if len({f"{each:.{n}f}" for each in places}) == 5), 6)
    return [(each, _trimmed(f"{each:.{min(exact, apart)}f}")) for each in places]


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def standalone(svg: str) -> str:
    """A plot as a file of its own: with its namespace, its colours and a white ground."""
    style = "".join(
        f".s{i}{{stroke:{colour}}}circle.s{i},rect.s{i}{{fill:{colour};stroke:none}}"
        for i, colour in enumerate(_COLOURS)
    )
    style = f"<style>text{{font:11px sans-serif;fill:#5b6877}}.grid{{stroke:#d9dfe6}}{style}</style>"
    head, _, body = svg.partition(">")
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{ground}{body}\n'
