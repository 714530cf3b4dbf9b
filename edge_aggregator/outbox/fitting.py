"""Rows as batches of which none is too large for the log: those that would be are halved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from ingest.contract.batch import RollupBatch
from ingest.contract.batch_wire import encode_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ingest.contract.batch import DeviceRow, MetricRow, Origin
    from ingest.contract.details import Details
    from ingest.contract.ledger import LedgerEntry

MOST_ROWS = 10_000
MOST_BYTES = 900_000

Tables = tuple["list[DeviceRow]", "list[MetricRow]", "dict[str, NDArray[Any]]"]
"""Devices, metrics, and the columns of a batch, which refer to them."""


class Rows(Protocol):
    """Rows that can be taken apart."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def rows(self, which: slice) -> Self:
        """Some of them."""
        ...


R = TypeVar("R", bound=Rows)


def fitting(
    rows: R, batch_of: Callable[[R, bool], RollupBatch], *, most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES
) -> Iterator[tuple[R, RollupBatch, bytes]]:
    """All rows in their order, in parts: each with its batch, and that encoded.

    `batch_of` makes a batch of a part, and is told whether it is the first. One that was given out is asked for no more,
    so that its entry may be entered in the ledger before the next one is made.
    """
    parts = [rows.rows(slice(first, first + most_rows)) for first in range(0, rows.size, most_rows)][::-1]
    first = True
    while parts:
        part = parts.pop()
        batch, half = batch_of(part, first), part.size // 2
        value = encode_batch(batch)
        if half and len(value) > most_bytes:
            parts += [part.rows(slice(half, part.size)), part.rows(slice(0, half))]
        else:
            yield part, batch, value
            first = False


def batch(origin: Origin, now: int, entry: LedgerEntry, tables: Tables, details: Details) -> RollupBatch:
    """A batch that is made at `now` (ms)."""
    devices, metrics, columns = tables
    return RollupBatch(
        origin=origin,
        seq=entry.seq,
        created=now,
        historical=False,
        devices=devices,
        metrics=metrics,
        columns=columns,
        details=details,
        ledger=entry,
    )
