"""The Store port: where rollups are kept for dashboards and questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.contract.batch import RollupBatch


class StoreUnavailableError(ConnectionError):
    """The store cannot be reached, is overloaded or does not know us (yet): wait and try again."""


class StoreRefusedError(ValueError):
    """The store will never take this write: type conflict, beyond retention, malformed."""


class WindowKey(NamedTuple):
    """What a store keeps a window under: its series (`labels` are sorted pairs) and its start in ms, not its width."""

    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    start: int


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Windows with start in [start, end), in ms; empty filters match all; at most `limit` windows, newest kept."""

    tenant: str
    site: str = ""
    device: str = ""
    metric: str = ""
    start: int = 0
    end: int = 1 << 53
    limit: int = 10_000


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of one series as columns of equal length, by rising start; dtypes as in the batch.

    `details`: those of p50, p90, p95, p99, increase, rate (per second), resets and changes that some window has, NaN in
    the others.
    """

    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    start: NDArray[np.int64]
    width: NDArray[np.int64]
    count: NDArray[np.int64]
    sum: NDArray[np.float64]
    sumsq: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    last: NDArray[np.float64]
    revision: NDArray[np.int64]
    details: dict[str, NDArray[np.float64]] = {}

    def mean(self) -> NDArray[np.float64]:
        """Mean per window, shape (windows,)."""
        return self.sum / self.count


class StoreTotals(NamedTuple):
    """What is in the store: windows, and the samples that they count."""

    windows: int
    samples: int


class Store(Protocol):
    """Windows by (site, device, metric, labels, start); writing one again replaces it."""

    async def write(self, batch: RollupBatch, rows: NDArray[np.intp]) -> None:
        """Write the batch's rows of these indexes, shape (n,). Raises StoreUnavailableError, StoreRefusedError."""
        ...

    async def remove(self, tenant: str, windows: Sequence[WindowKey]) -> None:
        """Remove these windows, whatever their widths, and no others. Raises StoreUnavailableError."""
        ...

    async def read(self, query: SeriesQuery) -> list[Series]:
        """The matching series, sorted by (site, device, metric, labels). Raises StoreUnavailableError."""
        ...

    async def totals(self, tenant: str, site: str = "") -> StoreTotals:
        """Windows and samples of a tenant (or of one of its sites). Raises StoreUnavailableError."""
        ...

    async def check(self) -> None:
        """Raises StoreUnavailableError with the reason when the store is not ready for writes."""
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...
