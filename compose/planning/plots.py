"""Curves as text for a terminal, and as SVG for a page or a report."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 190, 30, 40
_COLOURS = (
    "#c0392b",
    "#2471a3",
    "#1e8449",
    "#b9770e",
    "#6c3483",
    "#117a65",
    "#7b7d7d",
    "#a04000",
    "#1f618d",
    "#515a5a",
)
_MARKS = "abcdefghijklmnopqrstuvwxyz"


class Curve(NamedTuple):
    """A name and points (x, y), x rising."""

    name: str
    points: Sequence[tuple[float, float]]


class Frame(NamedTuple):
    """What the axes say; `line` is a level to draw with its name."""

    title: str
    x: str
    y: str
    line: tuple[float, str] | None = None


def text_plot(curves: Sequence[Curve], frame: Frame, *, columns: int = 64, rows: int = 16) -> str:
    """The curves with a letter each; where two meet the later one is seen."""
    x0, x1, y0, y1 = _bounds(curves, frame)
    field = [[" "] * columns for _ in range(rows)]

    def row(y: float) -> int:
        return rows - 1 - round((y - y0) / (y1 - y0) * (rows - 1))

    if frame.line:
        field[row(frame.line[0])] = ["-"] * columns
    for mark, curve in zip(_MARKS, curves, strict=False):
        for column in range(columns):
            y = _value(curve.points, x0 + (x1 - x0) * column / (columns - 1))
            if y is not None:
                field[row(y)][column] = mark
    scale = [f"{y1 - (y1 - y0) * n / (rows - 1):8.2f} |" for n in range(rows)]
    lines = [frame.title, *(left + "".join(cells).rstrip() for left, cells in zip(scale, field, strict=True))]
    lines += [" " * 9 + "+" + "-" * columns, f"{'':10}{x0:<10.4g}{frame.x:^{columns - 20}}{x1:>10.4g}"]
    legend = [f"  {mark}  {curve.name}" for mark, curve in zip(_MARKS, curves, strict=False)]
    return "\n".join(lines + legend + ([f"  -  {frame.line[1]}"] if frame.line else []))


def svg_plot(curves: Sequence[Curve], frame: Frame) -> str:
    """The curves as a document of their own, without scripts and fonts from elsewhere."""
    x0, x1, y0, y1 = _bounds(curves, frame)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - x0) / (x1 - x0) * (WIDTH - _LEFT - _RIGHT)
        return round(across, 1), round(HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - _TOP - _BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(_LEFT, 18, frame.title, size=14),
        _text((WIDTH - _RIGHT + _LEFT) / 2, HEIGHT - 8, frame.x, anchor="middle"),
        _text(_LEFT, _TOP - 2, frame.y),
        _line(place(x0, y0), place(x1, y0)),
        _line(place(x0, y0), place(x0, y1)),
    ]
    for n in range(5):
        x, y = x0 + (x1 - x0) * n / 4, y0 + (y1 - y0) * n / 4
        parts += [_text(place(x, y0)[0], HEIGHT - _BOTTOM + 15, f"{x:.4g}", anchor="middle")]
        parts += [_text(_LEFT - 6, place(x0, y)[1] + 4, f"{y:.3g}", anchor="end")]
    if frame.line:
        level = place(x0, frame.line[0])[1]
        parts += [_line((_LEFT, level), (WIDTH - _RIGHT, level), dashed=True)]
        parts += [_text(WIDTH - _RIGHT + 6, level + 4, frame.line[1])]
    for n, curve in enumerate(curves):
        colour = _COLOURS[n % len(_COLOURS)]
        points = " ".join(f"{x},{y}" for x, y in (place(*point) for point in curve.points))
        parts += [f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>']
        parts += [_text(WIDTH - _RIGHT + 6, _TOP + 26 + 16 * n, curve.name, colour=colour)]
    return "\n".join([*parts, "</svg>", ""])


def _bounds(curves: Sequence[Curve], frame: Frame) -> tuple[float, float, float, float]:
    xs = [x for curve in curves for x, _ in curve.points] or [0.0]
    ys = [y for curve in curves for _, y in curve.points] or [0.0]
    if frame.line:
        ys.append(frame.line[0])
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    return x0, x1 if x1 > x0 else x0 + 1.0, y0, y1 if y1 > y0 else y0 + 1.0


def _value(points: Sequence[tuple[float, float]], x: float) -> float | None:
    # The last point at or before x: what is drawn changes in steps.
    found = None
    for at, y in points:
        if at > x:
            break
        found = y
    return found


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "black") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'


def _line(start: tuple[float, float], end: tuple[float, float], *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}" stroke="gray"{dashes}/>'
