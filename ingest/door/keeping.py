"""Getting a batch into the store: patient while the store is away, and saving the good rows of a batch that it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingest.runtime.draining import drained_within
from ingest.runtime.store.port import StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch
    from ingest.door.revisions import Kept
    from ingest.runtime.backoff import Backoff
    from ingest.runtime.health import Health
    from ingest.runtime.store.port import Store

MAX_TRIES = 48
"""Writes spent on finding the rows that a store refuses: enough for two bad rows among thousands."""

PART = "ingest.store"


class DrainingError(RuntimeError):
    """The door is told to stop while the store is away: the batch will be taken again by the next life."""


class Saved(NamedTuple):
    """Indexes of the rows that are in the store, shape (n,); how many are not, and what the store said of them."""

    rows: NDArray[np.intp]
    refused: int = 0
    reason: str = ""


class Keeper:
    """Writes to the store; while it is away, waits and says so in `health` until it is back or `draining` is set."""

    def __init__(
        self, store: Store, *, health: Health, draining: asyncio.Event, make_backoff: Callable[[], Backoff]
    ) -> None:
        self._store, self._health, self._draining, self._make_backoff = store, health, draining, make_backoff

    async def keep(self, batch: RollupBatch, kept: Kept) -> Saved:
        """Write the rows that count, then remove what they replace. Raises DrainingError.

        A batch that replaces windows is saved whole or not at all: some of its rows would overlap what they replace.
        """
        saved = await self._write(batch, kept.rows)
        if not saved.refused and kept.removes:
            await self._patiently(lambda: self._store.remove(batch.origin.tenant, kept.removes))
        return saved

    async def ready(self) -> None:
        """Wait until the store takes writes. Raises DrainingError."""
        await self._patiently(self._store.check)

    async def _write(self, batch: RollupBatch, rows: NDArray[np.intp]) -> Saved:
        if not len(rows):
            return Saved(rows)
        try:
            await self._patiently(lambda: self._store.write(batch, rows))
        except StoreRefusedError as error:
            if len(batch.replaces.get("start", ())) or len(rows) == 1:
                return Saved(rows[:0], len(rows), str(error))
            return await self._save_what_can_be(batch, rows, str(error))
        return Saved(rows)

    async def _save_what_can_be(self, batch: RollupBatch, rows: NDArray[np.intp], reason: str) -> Saved:
        # Halve what is refused until single bad rows are found, or the tries are spent: then what is left counts as bad.
        good, bad, tries = [rows[:0]], 0, 0
        pending = list(np.array_split(rows, 2))
        while pending:
            part, tries = pending.pop(), tries + 1
            if tries <= MAX_TRIES and await self._is_taken(batch, part):
                good.append(part)
            elif tries <= MAX_TRIES and len(part) > 1:
                pending += np.array_split(part, 2)
            else:
                bad += len(part)
        return Saved(np.sort(np.concatenate(good)), bad, reason)

    async def _is_taken(self, batch: RollupBatch, rows: NDArray[np.intp]) -> bool:
        try:
            await self._patiently(lambda: self._store.write(batch, rows))
        except StoreRefusedError:
            return False
        return True

    async def _patiently(self, call: Callable[[], Awaitable[None]]) -> None:
        backoff = self._make_backoff()
        try:
            while not await self._is_done(call):
                if await drained_within(self._draining, backoff.next()):
                    raise DrainingError
        finally:
            self._health.ready(PART)

    async def _is_done(self, call: Callable[[], Awaitable[None]]) -> bool:
        try:
            await call()
        except StoreUnavailableError as error:
            self._health.waiting(PART, f"store: {error}")
            return False
        return True
