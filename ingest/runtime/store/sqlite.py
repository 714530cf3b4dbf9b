"""The embedded store: rollups in one SQLite file, one thread of its own, any number of processes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import apsw

from ingest.runtime.store.port import StoreRefusedError, StoreUnavailableError
from ingest.runtime.store.sqlite_rows import (
    count_rows,
    open_file,
    read_series,
    remove_windows,
    write_rows,
)
from ingest.runtime.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch
    from ingest.runtime.store.port import Series, SeriesQuery, StoreTotals, WindowKey

T = TypeVar("T")

_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (apsw.BusyError, "another process holds it: wait, or stop that process"),
    (apsw.FullError, "the disk is full: free some space"),
    (apsw.CantOpenError, "check that its folder exists and belongs to this user"),
    (apsw.ReadOnlyError, "check its owner and the file system"),
    (apsw.NotADBError, "it is not a store of tidegate: name another file"),
    (apsw.SQLError, "its tables are not those of a store of tidegate: name another file"),
    (apsw.CorruptError, "it is damaged: restore it, or move it away to begin a new one"),
)
_REFUSED = (apsw.ConstraintError, apsw.TooBigError, apsw.MismatchError, OverflowError)


class SqliteStore:
    """A Store in the file `path`; `timeout_s` is how long to wait for another process's transaction."""

    def __init__(self, path: Path, *, timeout_s: float = 10.0) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"store {path.name}")
        self._db: apsw.Connection | None = None
        self._closed = False

    async def write(self, batch: RollupBatch, rows: NDArray[np.intp]) -> None:
        """Write the batch's rows of these indexes in one transaction, fsynced on return."""
        await self._run(lambda db: write_rows(db, batch, rows))

    async def remove(self, tenant: str, windows: Sequence[WindowKey]) -> None:
        """Remove these windows in one transaction."""
        await self._run(lambda db: remove_windows(db, tenant, windows))

    async def read(self, query: SeriesQuery) -> list[Series]:
        """The matching series, sorted by (site, device, metric, labels)."""
        return await self._run(lambda db: read_series(db, query))

    async def totals(self, tenant: str, site: str = "") -> StoreTotals:
        """Windows and samples of a tenant or of one of its sites."""
        return await self._run(lambda db: count_rows(db, tenant, site))

    async def check(self) -> None:
        """Raises StoreUnavailableError unless the file takes a write transaction."""
        await self._run(_begin_and_end)

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            self._thread.shutdown(wait=False)

    async def _run(self, function: Callable[[apsw.Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailableError(f"{self._path}: the store was closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, function)

    def _call(self, function: Callable[[apsw.Connection], T]) -> T:
        try:
            return function(self._connection())
        except _REFUSED as error:
            raise StoreRefusedError(f"{self._path}: {error}") from error
        except (apsw.Error, OSError) as error:
            # What a connection remembers of a bad disk is not to be trusted: the next call opens the file anew.
            self._disconnect()
            remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), "check the disk")
            raise StoreUnavailableError(f"{self._path}: {error}; {remedy}") from error

    def _connection(self) -> apsw.Connection:
        if self._db is None:
            self._db = open_file(self._path, self._timeout_s)
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close(True)
            self._db = None


def _begin_and_end(db: apsw.Connection) -> None:
    with transaction(db):
        pass
