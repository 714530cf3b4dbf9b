"""A store in memory, as plain as can be: the oracle for tests that need many of them, and one that can be told to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.runtime.store.port import StoreTotals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch
    from ingest.runtime.store.port import Series, SeriesQuery, WindowKey


class Place(NamedTuple):
    tenant: str
    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    start: int


class Stored(NamedTuple):
    width: int
    samples: int
    revision: int
    sum: float


class MemoryStore:
    """`before_write` may raise what a store raises; `writes` counts the tries."""

    def __init__(self, before_write: Callable[[list[Place]], None] = lambda _: None) -> None:
        self.windows: dict[Place, Stored] = {}
        self.before_write = before_write
        self.writes = 0
        self.closed = False

    async def write(self, batch: RollupBatch, rows: NDArray[np.intp]) -> None:
        self.writes += 1
        places = [self.place(batch, row) for row in rows.tolist()]
        self.before_write(places)
        self.windows |= {place: stored(batch, row) for place, row in zip(places, rows.tolist(), strict=True)}

    async def remove(self, tenant: str, windows: Sequence[WindowKey]) -> None:
        for window in windows:
            self.windows.pop(Place(tenant, *window), None)

    async def read(self, query: SeriesQuery) -> list[Series]:
        raise AssertionError(f"not read in tests: {query}")

    async def totals(self, tenant: str, site: str = "") -> StoreTotals:
        counts = [
            window.samples
            for place, window in self.windows.items()
            if place.tenant == tenant and site in {"", place.site}
        ]
        return StoreTotals(len(counts), sum(counts))

    async def check(self) -> None:
        self.before_write([])

    async def close(self) -> None:
        self.closed = True

    @staticmethod
    def place(batch: RollupBatch, row: int) -> Place:
        metric = batch.metrics[int(batch.column("metric")[row])]
        device = batch.devices[int(batch.column("device")[row])].device
        start = int(batch.column("start")[row])
        return Place(batch.origin.tenant, batch.origin.site, device, metric.name, metric.labels, start)


def stored(batch: RollupBatch, row: int) -> Stored:
    width, count, revision = (int(batch.column(name)[row]) for name in ("width", "count", "revision"))
    return Stored(width, count, revision, float(batch.column("sum")[row]))
