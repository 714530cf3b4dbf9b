"""Rows that had been written before, as new batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.outbox.batches import Batch
from edge_aggregator.outbox.fitting import MOST_BYTES, MOST_ROWS, batch, fitting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_aggregator.ledger import Ledger
    from edge_aggregator.outbox.pile import Pile
    from ingest.contract.batch import Origin, RollupBatch
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

        def batch_of(part: Pile, first: bool) -> RollupBatch:  # noqa: FBT001 - the shape that `fitting` asks for
            entry = ledger.next_entry(carried=int(part.net.sum()), replaces=replaces if first else ())
            return batch(self._origin, now, entry, part.tables(), part.details)

        found = fitting(rows.sorted(), batch_of, most_rows=self._most_rows, most_bytes=self._most_bytes)
        for part, made, value in found:
            ledger.enter(made.ledger)
            yield Rewritten(Batch(made.seq, value), part)
