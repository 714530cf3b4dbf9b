"""The signatures of many commands are checked in a thread of their own, beside everything else that the gateway does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_aggregator.commands.desk import Desk, Opened
    from ingest.contract.records import Record


async def verify(desk: Desk, records: Sequence[Record]) -> list[Opened]:
    """What may be believed of the records that are for the desk's site, in their order."""
    # Checking one holds the interpreter's lock: a second thread would only get in its way.
    return await asyncio.to_thread(desk.verify, desk.ours(records))
