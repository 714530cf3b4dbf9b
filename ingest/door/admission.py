"""Who may come in: a batch that its gateway signed, that can be read, and that speaks for nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.contract.batch_wire import BadBatchError
from ingest.contract.reasons import BatchRejection
from ingest.runtime.gateways import Gateways, UnverifiedError

if TYPE_CHECKING:
    from ingest.contract.batch import RollupBatch
    from ingest.contract.records import Record

MAX_NUMBER = 1 << 53
"""What every reader of JSON holds exactly: no count, seq or time of an account is greater."""


class TurnedAwayError(ValueError):
    """A record that is not taken; it becomes a dead letter with this reason and detail."""

    def __init__(self, reason: BatchRejection, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def admit(record: Record, gateways: Gateways) -> RollupBatch:
    """The record's batch. Raises TurnedAwayError, and nothing else, whatever the record is."""
    try:
        batch = gateways.read_batch(record)
    except (UnverifiedError, BadBatchError) as error:
        raise TurnedAwayError(error.reason, error.detail) from error
    _check_key(record, batch)
    _check_numbers(batch)
    return batch


def _check_key(record: Record, batch: RollupBatch) -> None:
    # The key decides the partition: under another one, two doors would keep the same account.
    if record.key != batch.origin.site.encode():
        raise TurnedAwayError(BatchRejection.FOREIGN_ORIGIN, f"key {record.key[:64]!r} for site {batch.origin.site}")


def _check_numbers(batch: RollupBatch) -> None:
    entry = batch.ledger
    counts = (batch.seq, batch.created, entry.received, entry.rolled_up, entry.duplicate, entry.open, abs(entry.net))
    greatest = max(*counts, *entry.rejected.values(), *entry.dropped.values())
    if greatest > MAX_NUMBER:
        raise TurnedAwayError(BatchRejection.BAD_VALUE, f"ledger entry: {greatest} is beyond 2^53")
