"""`tidegate detect --plot`: a picture of each metric with what was expected of it, the alerts, and the score below."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from compose.tryout.found import Found

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 1000, 110, 34, 70, 20, 40
MOST_METRICS = 12
"""Panels of a file at the most: the metrics with the most alerts, then the first ones."""
BAND = 3.0
"""Half of the band, in scales."""
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.v{stroke:#2471a3;fill:none}.b{fill:#2471a3;opacity:.15}"
    ".a{fill:#c0392b;opacity:.25}.s{stroke:#6c3483;fill:none}.f{stroke:#999;fill:none}.h{stroke:#c0392b;stroke-dasharray:4 3}"
)


class _Panel(NamedTuple):
    """A frame `top` (px) from above, with `low` at its foot and `high` at its head; the rows at `x` (px), shape (rows,)."""

    top: float
    low: float
    high: float
    x: NDArray[np.float64]

    def y(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        share = (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)
        y: NDArray[np.float64] = self.top + PANEL * (1 - share)
        return y


def svg(found: Sequence[Found]) -> str:
    """A document of its own, without scripts and fonts from elsewhere; the files one below the other."""
    parts, top = list[str](), float(TOP)
    for one in found:
        drawn, top = _device(one, top)
        parts += drawn
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}">',
            f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _device(found: Found, top: float) -> tuple[list[str], float]:
    table, shown = found.table, _shown(found)
    left_out = len(table.metrics) - len(shown)
    title = f"{table.name}: {len(table.times)} rows" + (f"; {left_out} metrics are not drawn" if left_out else "")
    parts = [f'<text x="{LEFT}" y="{top - 22:.0f}" font-weight="bold">{escape(title)}</text>']
    x = _across(table.times)
    for metric in shown:
        parts += _metric(found, metric, top, x)
        top += PANEL + GAP
    panel = _Panel(top, 0.0, 1.0, x)
    parts += [*_frame(panel, "score"), *_spans(panel, found.alert())]
    parts += [path("s", x, panel.y(found.score())), f'<path class="h" d="M{LEFT} {top + PANEL / 2}H{WIDTH - RIGHT}"/>']
    parts += _times(found, top + PANEL + 16)
    return parts, top + PANEL + GAP + TOP


def _shown(found: Found) -> list[int]:
    alerts = found.single.alert.sum(axis=0)
    return sorted(np.argsort(-alerts, kind="stable")[:MOST_METRICS].tolist())


def _metric(found: Found, metric: int, top: float, x: NDArray[np.float64]) -> Iterator[str]:
    values, single = found.table.values[:, metric], found.single
    known = _one_each_pixel(x, np.flatnonzero(np.isfinite(values) & (single.scale[:, metric] > 0)))
    expected, half = single.expected[:, metric], BAND * single.scale[:, metric].astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    room = (high - low) * 0.05 or max(abs(high), 1.0) * 0.05
    panel = _Panel(top, low - room, high + room, x)
    yield from _frame(panel, found.table.metrics[metric])
    yield from _spans(panel, single.alert[:, metric])
    if known.size:
        above, below = panel.y(expected[known] + half[known]), panel.y(expected[known] - half[known])
        yield path("b", np.concatenate([x[known], x[known][::-1]]), np.concatenate([above, below[::-1]]), close=True)
    there = np.isfinite(values)
    yield path("v", x[there], panel.y(values[there]))


def _frame(panel: _Panel, name: str) -> Iterator[str]:
    yield f'<rect class="f" x="{LEFT}" y="{panel.top:.0f}" width="{WIDTH - LEFT - RIGHT}" height="{PANEL}"/>'
    yield f'<text x="{LEFT + 4}" y="{panel.top - 4:.0f}">{escape(name)}</text>'
    for value, y in ((panel.high, panel.top + 10), (panel.low, panel.top + PANEL)):
        yield f'<text x="{LEFT - 5}" y="{y:.0f}" text-anchor="end">{value:.4g}</text>'


def _spans(panel: _Panel, alert: NDArray[np.bool_]) -> Iterator[str]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], alert, [False]]).astype(np.int8)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        begin, stop = panel.x[first], panel.x[min(end, len(panel.x) - 1)]
        width = max(stop - begin, 2.0)
        yield f'<rect class="a" x="{begin:.1f}" y="{panel.top:.0f}" width="{width:.1f}" height="{PANEL}"/>'


def _times(found: Found, y: float) -> Iterator[str]:
    times = found.table.times
    if len(times):
        yield f'<text x="{LEFT}" y="{y:.0f}">{rfc3339(int(times[0]))}</text>'
        yield f'<text x="{WIDTH - RIGHT}" y="{y:.0f}" text-anchor="end">{rfc3339(int(times[-1]))}</text>'


def _across(times: NDArray[np.int64]) -> NDArray[np.float64]:
    first, last = (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)
    across = LEFT + (times - first) / max(last - first, 1.0) * (WIDTH - LEFT - RIGHT)
    return across.astype(np.float64)


def _one_each_pixel(x: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[np.diff(np.floor(x[rows]), prepend=-1.0) > 0]


def path(style: str, x: NDArray[np.float64], y: NDArray[np.float64], *, close: bool = False) -> str:
    """A curve through points whose `x` ascends, or an area if it is to `close`; shapes (points,)."""
    # Of the points of one pixel across, the lowest and the highest are seen.
    if not close and len(x) > 4 * WIDTH:
        column = np.floor(x).astype(np.int64)
        order = np.lexsort((y, column))
        ends = np.flatnonzero(np.diff(column[order], prepend=-1, append=WIDTH + 1))
        kept = np.unique(np.concatenate([order[ends[:-1]], order[ends[1:] - 1]]))
        x, y = x[kept], y[kept]
    points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return f'<path class="{style}" d="M{points}{"Z" if close else ""}"/>' if points else ""
