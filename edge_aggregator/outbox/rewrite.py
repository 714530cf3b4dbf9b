"""Rows that had been written before, as new batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.outbox.batches import MOST_BYTES, MOST_ROWS, Batch
from ingest.contract.batch import RollupBatch
from ingest.contract.batch_wire import encode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_aggregator.ledger import Ledger
    from edge_aggregator.outbox.pile import Pile
    from ingest.contract.batch import Origin
    from ingest.contract.ledger import Spans


class Rewritten(NamedTuple):
    """A batch and its rows."""

    batch: Batch
    rows: Pile


class Rewriter:
    """Makes batches that stand for others."""

    def __init__(self, origin: Origin, *, most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES) -> None:
        self._origin, self._most_rows, self._most_bytes = origin, most_rows, most_bytes

    def write(self, rows: Pile, ledger: Ledger, now: int, replaces: Spans = ()) -> Iterator[Rewritten]:
        """Batches of all rows, sorted; the first one names what they replace. Each is an entry of the ledger."""
        rows = rows.sorted()
        for first in range(0, rows.size, self._most_rows):
            part = rows.rows(np.arange(first, min(first + self._most_rows, rows.size)))
            yield from self._split(part, ledger, now, replaces if first == 0 else ())

    def _split(self, rows: Pile, ledger: Ledger, now: int, replaces: Spans) -> Iterator[Rewritten]:
        batch = self._batch(rows, ledger, now, replaces)
        value, half = encode_batch(batch), rows.size // 2
        if half and len(value) > self._most_bytes:
            yield from self._split(rows.rows(np.arange(half)), ledger, now, replaces)
            yield from self._split(rows.rows(np.arange(half, rows.size)), ledger, now, ())
        else:
            ledger.enter(batch.ledger)
            yield Rewritten(Batch(batch.seq, value), rows)

    def _batch(self, rows: Pile, ledger: Ledger, now: int, replaces: Spans) -> RollupBatch:
        entry = ledger.next_entry(carried=int(rows.net.sum()), replaces=replaces)
        devices, metrics, columns = rows.tables()
        return RollupBatch(
            origin=self._origin,
            seq=entry.seq,
            created=now,
            historical=False,
            devices=devices,
            metrics=metrics,
            columns=columns,
            details=rows.details,
            ledger=entry,
        )
