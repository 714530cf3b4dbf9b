"""How analytics reads the batches of rollups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.contract.batch_checks import BadBatchError
from ingest.contract.names import DEAD_LETTERS
from ingest.runtime.gateways import Gateways, UnverifiedError

if TYPE_CHECKING:
    from ingest.contract.batch import RollupBatch
    from ingest.contract.records import Record
    from ingest.runtime.telemetry import Telemetry


def read_rollups(record: Record, gateways: Gateways, telemetry: Telemetry) -> RollupBatch | None:
    """The record's batch, verified; None, and counted, for what is none.

    The central door keeps such a record as a dead letter; here it is only passed over.
    """
    try:
        return gateways.read_batch(record)
    except (UnverifiedError, BadBatchError) as error:
        telemetry.count(DEAD_LETTERS, topic=record.topic, reason=error.reason)
        return None
