"""A series' recent windows as a small picture: SVG without scripts, styles or links, a few kilobytes at the most."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT, EDGE = 480, 120, 6
MOST_POINTS = 96
"""Windows that are drawn, the newest."""
MOST_TITLE = 200


class Band(NamedTuple):
    """What is expected, the ordinary range around it, and since when (ms) the series is outside."""

    expected: float
    low: float
    high: float
    since: int


def draw(title: str, times: NDArray[np.int64], values: NDArray[np.float64], band: Band) -> str:
    """The curve of `values` at `times` (ms, rising), the band behind it, from `since` on in red; "" without two points.

    `times` and `values` have shape (windows,); what is no finite number is left out.
    """
    drawn = np.isfinite(values)
    times, values = times[drawn][-MOST_POINTS:], values[drawn][-MOST_POINTS:]
    if len(values) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    x = _scaled(times.astype(np.float64), float(times[0]), float(times[-1]), WIDTH)
    low, high = min(band.low, float(values.min())), max(band.high, float(values.max()))
    y = HEIGHT - _scaled(values, low, high, HEIGHT)
    top, middle, bottom = HEIGHT - _scaled(np.array([band.high, band.expected, band.low]), low, high, HEIGHT)
    inside, outside = _parts(times, band.since)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>{escape(''.join(letter for letter in title[:MOST_TITLE] if letter.isprintable()))}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<rect x="{EDGE}" y="{top:.1f}" width="{WIDTH - 2 * EDGE}" height="{max(bottom - top, 0.5):.1f}" fill="#cfe3f7"/>',
        f'<path d="M{EDGE} {middle:.1f}H{WIDTH - EDGE}" stroke="#5b8db8" stroke-dasharray="4 3"/>',
        _line(x[inside], y[inside], "#333"),
        _line(x[outside], y[outside], "#c0392b"),
        "</svg>",
    ]
    return "".join(parts)


def _parts(times: NDArray[np.int64], since: int) -> tuple[slice, slice]:
    # The red part begins where the grey one ends.
    begins = int(np.searchsorted(times, since))
    return slice(0, begins + 1), slice(begins, None)


def _scaled(values: NDArray[np.float64], low: float, high: float, size: int) -> NDArray[np.float64]:
    span = (high - low) or 1.0
    # Halves first: the difference of two large numbers must not overflow.
    share = (values / 2 - low / 2) / (span / 2) if np.isfinite(span) else np.full(len(values), 0.5)
    return EDGE + share * (size - 2 * EDGE)


def _line(x: NDArray[np.float64], y: NDArray[np.float64], colour: str) -> str:
    if len(x) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    points = " ".join(f"{at:.1f},{height:.1f}" for at, height in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
