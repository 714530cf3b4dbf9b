"""What `tidegate bench api` measures: a row each, with the bars that its figures have to keep."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from compose.bench.api import first_paint, reads
from compose.bench.api.world import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Asked(NamedTuple):
    """On which disk the logs are; `quick`: seconds, shows that it works."""

    folder: Path
    quick: bool


class Row(NamedTuple):
    """`run` gives figures by their keys; a figure above its bar in `most` is missed."""

    run: Callable[[Asked], Mapping[str, Any]]
    most: Mapping[str, float]


def _reads(asked: Asked) -> Mapping[str, Any]:
    small = reads.ReadLoad(Size(devices=2000, alerts=50, incidents=10, rollouts=5), seconds=1.0, runs=1)
    return asyncio.run(reads.measure(small if asked.quick else reads.ReadLoad(), asked.folder))._asdict()


def _first_paint(asked: Asked) -> Mapping[str, Any]:
    size = Size(devices=10_000, alerts=100, incidents=20, rollouts=5)
    runs, watched_s = (1, 1.0) if asked.quick else (5, 20.0)
    return asyncio.run(first_paint.measure_alone(asked.folder, size, runs=runs, watched_s=watched_s))._asdict()


ROWS = {
    "reads": Row(_reads, {"api_p99_ms": 30.0}),
    "first-paint": Row(_first_paint, {"first_paint_ms": 500.0, "first_paint_kb": 300.0, "longest_task_ms": 100.0}),
}


def missed(figures: Mapping[str, Any]) -> list[str]:
    """The bars that are not kept, a line each."""
    bars = {name: most for row in ROWS.values() for name, most in row.most.items()}
    return [f"{name}: {figures[name]} above {most}" for name, most in bars.items() if figures.get(name, 0.0) > most]
