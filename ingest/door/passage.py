"""The whole way of one record through the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from ingest.contract.names import INGEST_STORE_SECONDS
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import TRACE_HEADER, Outgoing, dead_letter
from ingest.contract.topics import dead
from ingest.door.admission import TurnedAwayError, admit
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from ingest.contract.batch import RollupBatch
    from ingest.contract.records import Record
    from ingest.door.account import Account
    from ingest.door.book import Book
    from ingest.door.keeping import Keeper, Saved
    from ingest.door.revisions import Kept
    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a record: `outcome` is stored, duplicate, dead or known (an earlier life had dealt with it)."""

    outcome: str
    reason: str = ""
    stored: int = 0
    superseded: int = 0
    removed: int = 0
    refused: int = 0
    forgotten: int = 0
    letter: Outgoing | None = None


class Passage:
    """Takes records one by one; what it learns is in the book, what it keeps is in the store."""

    def __init__(
        self, gateways: Gateways, book: Book, keeper: Keeper, telemetry: Telemetry, clock: Clock | None = None
    ) -> None:
        self._gateways, self._book, self._keeper, self._telemetry = gateways, book, keeper, telemetry
        self._clock = clock or SystemClock()

    async def take(self, record: Record) -> Outcome:
        """See the record through. Raises DrainingError when it was not."""
        parent = record.header(TRACE_HEADER)
        with self._telemetry.span("ingest.batch", parent.decode("ascii", "replace") if parent else None) as trace:
            try:
                return await self._pass(record, trace)
            except TurnedAwayError as error:
                return _turned_away(record, error)

    async def _pass(self, record: Record, trace: str) -> Outcome:
        batch = admit(record, self._gateways)  #                                  validate
        account = self._book.account(batch.origin, record.topic_partition)
        if account.contains(record):
            return Outcome(outcome="known")
        if batch.seq in account.audit.received:  #                                dedupe
            return self._pass_duplicate(account, record)
        if batch.seq in account.audit.excused:  #                                 others stand for it
            account.audit = account.audit.after(batch.ledger, batch.created)
            return self._pass_duplicate(account, record)
        audit = account.audit.after(batch.ledger, batch.created)  #               audit the ledger
        if not account.has_room_for(audit):
            raise TurnedAwayError(BatchRejection.TOO_MANY_GAPS, f"seq {batch.seq}")
        kept = account.guard.sift(batch)  #                                       guard against older revisions
        began = self._clock.monotonic()
        saved = await self._keeper.keep(batch, kept)  #                           store
        self._telemetry.observe(INGEST_STORE_SECONDS, self._clock.monotonic() - began)
        forgotten, account.trace = account.forgotten, trace
        if not saved.refused:
            account.take(batch, audit, kept)
        elif len(saved.rows):
            account.take_in_part(batch, kept._replace(rows=saved.rows))
        self._enter(account, record)  #                                           account, then commit: see service
        return _stored(record, batch, kept, saved, account.forgotten - forgotten)

    def _pass_duplicate(self, account: Account, record: Record) -> Outcome:
        account.duplicate_batches += 1
        self._enter(account, record)
        return Outcome(outcome="duplicate")

    def _enter(self, account: Account, record: Record) -> None:
        account.pass_by(record)
        self._book.changed(account)


def _turned_away(record: Record, error: TurnedAwayError) -> Outcome:
    letter = dead_letter(record, error.reason, error.detail, dead(record.topic))
    return Outcome(outcome="dead", reason=error.reason, letter=letter)


def _stored(record: Record, batch: RollupBatch, kept: Kept, saved: Saved, forgotten: int) -> Outcome:
    outcome = Outcome(outcome="stored", stored=len(saved.rows), superseded=kept.superseded, forgotten=forgotten)
    if not saved.refused:
        return replace(outcome, removed=len(kept.removes))
    reason = BatchRejection.STORE_REFUSED
    detail = f"seq {batch.seq}: {saved.refused} of {len(batch)} rows: {saved.reason}"
    letter = dead_letter(record, reason, detail, dead(record.topic))
    return replace(outcome, outcome="dead", reason=reason, refused=saved.refused, letter=letter)
