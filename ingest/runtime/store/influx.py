"""InfluxDB 2 as the store of record: one measurement, a bucket per tenant, corrections that replace what they correct."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

import cramjam

from ingest.contract.batch import MetricRow
from ingest.contract.records import rfc3339
from ingest.runtime.store import flux
from ingest.runtime.store.config import TENANT
from ingest.runtime.store.influx_client import InfluxClient
from ingest.runtime.store.influx_errors import UnknownTokenError, translated_errors
from ingest.runtime.store.line_protocol import encode_rows
from ingest.runtime.store.port import StoreRefusedError, StoreTotals, StoreUnavailableError
from ingest.runtime.store.tags import series_tags

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch
    from ingest.runtime.store.config import StoreConfig
    from ingest.runtime.store.port import Series, SeriesQuery, WindowKey

T = TypeVar("T")

_WRITTEN = 204


class InfluxStore:
    """A Store in InfluxDB 2. It connects when it must; a token that is turned away is read from its file anew."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._client: InfluxClient | None = None

    async def write(self, batch: RollupBatch, rows: NDArray[np.intp]) -> None:
        """Write the batch's rows of these indexes; InfluxDB may have taken some of them when it refuses others."""
        tenant = batch.origin.tenant
        bucket = self._bucket(tenant)
        if not bucket:
            raise StoreRefusedError(f"bucket {self._config.bucket} is for tenant {self._config.tenant}, not {tenant}")
        if len(rows):
            await self._write_lines(bucket, encode_rows(batch, rows))

    async def remove(self, tenant: str, windows: Sequence[WindowKey]) -> None:
        """Remove these windows, each run of neighbours in a series by one call; others in between are left alone."""
        bucket = self._bucket(tenant)
        for name, starts in _by_series(windows).items() if bucket else ():
            await self._remove_from(bucket, series_tags(*name), starts)

    async def read(self, query: SeriesQuery) -> list[Series]:
        """The matching series, sorted by (site, device, metric, labels)."""
        bucket = self._bucket(query.tenant)
        if not bucket or query.start >= min(query.end, flux.LATEST_MS) or query.limit < 1:
            return []
        return flux.read_series(await self._ask(flux.read_query(bucket, query)))

    async def totals(self, tenant: str, site: str = "") -> StoreTotals:
        """Windows and samples of a tenant or of one of its sites."""
        bucket = self._bucket(tenant)
        if not bucket:
            return StoreTotals(0, 0)
        return flux.read_totals(await self._ask(flux.totals_query(bucket, site)))

    async def check(self) -> None:
        """Raises StoreUnavailableError unless the token is known and, when the tenant is, may write its bucket."""
        if self._config.tenant:
            # InfluxDB checks token, organisation and bucket before it looks for lines; there are none.
            await self._write_lines(self._bucket(self._config.tenant), b"")
        else:
            await self._request(lambda client: client.identify())

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def _bucket(self, tenant: str) -> str:
        # Without a place for the tenant the bucket belongs to one tenant: nobody else's data goes there.
        if TENANT in self._config.bucket or tenant == self._config.tenant:
            return self._config.bucket.replace(TENANT, tenant)
        return ""

    async def _write_lines(self, bucket: str, lines: bytes) -> None:
        zipped = self._config.gzip
        body, encoding = (bytes(cramjam.gzip.compress(lines, level=1)), "gzip") if zipped else (lines, "identity")
        status = await self._request(lambda client: client.write(bucket, body, encoding))
        if status != _WRITTEN:
            raise StoreUnavailableError(f"{self._config.url} answered {status}, expected 204: is it an InfluxDB 2?")

    async def _remove_from(self, bucket: str, tags: dict[str, str], starts: set[int]) -> None:
        present = await self._ask(flux.starts_query(bucket, tags, min(starts), max(starts) + 1))
        predicate = flux.delete_predicate(tags)
        for first, last in _removable_runs(flux.read_starts(present), starts):
            await self._delete(bucket, predicate, rfc3339(first), rfc3339(last))

    async def _delete(self, bucket: str, predicate: str, first: str, last: str) -> None:
        await self._request(lambda client: client.delete(bucket, predicate, first, last))

    async def _ask(self, query: str) -> str:
        return await self._request(lambda client: client.query(query))

    async def _request(self, call: Callable[[InfluxClient], Awaitable[T]]) -> T:
        try:
            with translated_errors(self._config.url, self._config.timeout_s):
                if self._client is None:
                    self._client = InfluxClient(self._config)
                return await call(self._client)
        except UnknownTokenError:
            await self.close()
            raise


def _by_series(windows: Iterable[WindowKey]) -> dict[tuple[str, str, MetricRow], set[int]]:
    found: dict[tuple[str, str, MetricRow], set[int]] = {}
    for window in windows:
        metric = MetricRow(window.metric, labels=window.labels)
        found.setdefault((window.site, window.device, metric), set()).add(window.start)
    return found


def _removable_runs(present: Iterable[int], unwanted: set[int]) -> list[tuple[int, int]]:
    # First and last start of each run of windows that are there, are to go, and have no other in between.
    runs = (list(run) for goes, run in groupby(present, key=lambda start: start in unwanted) if goes)
    return [(run[0], run[-1]) for run in runs]
