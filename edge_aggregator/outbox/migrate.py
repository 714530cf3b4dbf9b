"""An outbox that an earlier version wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.outbox.cells import CELL_MS, Cells
from edge_aggregator.outbox.levels import COARSEST
from edge_aggregator.outbox.outbox import HEAD_RECORDS, Tried

if TYPE_CHECKING:
    import apsw


def from_version_1(db: apsw.Connection, horizon: int) -> None:
    """Take over what waits, within the caller's transaction. `horizon` (ms): up to where windows had closed then.

    Version 1 sent the oldest records first and did not say which ones it had tried: so its first ones may have arrived. Nor
    is it known which windows had been sent: those up to then keep their width.
    """
    db.execute(
        "INSERT INTO waiting SELECT id, kind, created, bytes, id, ?, ?, NULL, NULL, NULL FROM outbox",
        (Tried.NEVER, COARSEST),
    )
    query = "UPDATE waiting SET tried = ? WHERE id IN (SELECT id FROM waiting ORDER BY id LIMIT ?)"
    db.execute(query, (Tried.FRESH, HEAD_RECORDS))
    Cells(db).raise_floor(max(horizon, 0) // CELL_MS + 1)
