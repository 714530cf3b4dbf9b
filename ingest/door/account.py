"""The centre's account of one gateway, from one life of its durable state to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.batch import Origin
from ingest.contract.events import AccountEvent
from ingest.contract.reasons import LedgerFinding
from ingest.contract.records import TopicPartition
from ingest.contract.topics import ROLLUPS
from ingest.door.audit import Audit, Breach, Link
from ingest.door.intervals import Intervals
from ingest.door.revisions import Mark, RevisionGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.contract.batch import RollupBatch
    from ingest.contract.ledger import ClassCounts, LedgerEntry
    from ingest.contract.records import Record
    from ingest.door.revisions import Kept

MAX_GAPS = 1_000
"""Gaps that an account holds: with `MAX_REMEMBERED` and `MAX_REASONS`, what keeps it below the size of a record."""

MAX_EXCUSED = 2_000
"""Intervals remembered of batches that were replaced or dropped; older ones count as received."""

MAX_REASONS = 64
MAX_COUNT = (1 << 63) - 1
NAME_LIMIT = 64
OTHER = "other"


class Totals(NamedTuple):
    """Samples by the newest ledger entry."""

    received: int = 0
    rolled_up: int = 0
    duplicate: int = 0
    open: int = 0


class Account:
    """What the door knows of one gateway: batches received, its ledger's audit and totals, and what may come late."""

    def __init__(self, origin: Origin, place: TopicPartition) -> None:
        self.origin = origin
        self.place = place
        self.next_offset = 0
        self.audit = Audit()
        self.guard = RevisionGuard()
        self.stored = self.batches = self.duplicate_batches = self.forgotten = 0
        self.totals = Totals()
        self.rejected: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.classes: dict[str, ClassCounts] = {}
        self.at = 0
        self.trace: str | None = None

    def contains(self, record: Record) -> bool:
        """Whether this account was saved with the record in it: a crash came before its offset was committed."""
        return record.topic_partition == self.place and record.offset < self.next_offset

    def has_room_for(self, audit: Audit) -> bool:
        """Whether so many gaps can be held."""
        return len(audit.settled.spans) <= MAX_GAPS

    def pass_by(self, record: Record) -> None:
        """The record has been dealt with."""
        self.place, self.next_offset = record.topic_partition, record.offset + 1

    def take(self, batch: RollupBatch, audit: Audit, kept: Kept) -> None:
        """All of the batch is in the store, `audit` is the one that follows from it."""
        newest = not self.audit.received.spans or batch.seq > self.audit.received.spans[-1][1]
        self.audit = audit.bounded(MAX_EXCUSED)
        self.batches += 1
        self.stored = max(-MAX_COUNT, min(MAX_COUNT, self.stored + batch.ledger.net + batch.ledger.carried))
        if newest:
            self._copy_totals(batch.ledger)
        self.take_in_part(batch, kept)
        self.guard.forget_up_to(audit.head[0])

    @property
    def breach(self) -> Breach | None:
        """The first seq at which the account breaks, and how; None while it holds."""
        spans, complete = self.audit.received.spans, self.audit.finding is LedgerFinding.BALANCED
        if spans and complete and self.stored != self.totals.rolled_up:
            return Breach(spans[-1][1], LedgerFinding.MISCOUNTED)
        return self.audit.breach

    def take_in_part(self, batch: RollupBatch, kept: Kept) -> None:
        """Some of the batch is in the store; it counts as received when it comes again, whole."""
        newest_missing = self.audit.newest_that_may_arrive(batch.seq, batch.created)
        self.forgotten += self.guard.note(batch, kept, newest_missing)

    def _copy_totals(self, entry: LedgerEntry) -> None:
        self.totals = Totals(entry.received, entry.rolled_up, entry.duplicate, entry.open)
        self.rejected, self.dropped = _bounded(entry.rejected), _bounded(entry.dropped)
        self.classes = dict(entry.classes)


def to_event(account: Account, now: int) -> AccountEvent:
    """The account as it is saved and shown, at time `now` (ms)."""
    audit, breach = account.audit, account.breach
    seq, digest = audit.head
    return AccountEvent(
        **account.origin._asdict(),
        partition=account.place.partition,
        offset=account.next_offset,
        received_seqs=list(audit.received.spans),
        excused_seqs=list(audit.excused.spans),
        chain_seq=seq,
        chain_digest=digest,
        finding=breach.finding if breach else audit.finding,
        first_broken_seq=breach.seq if breach else 0,
        **account.totals._asdict(),
        rejected=account.rejected,
        dropped=account.dropped,
        classes=account.classes,
        stored=account.stored,
        batches=account.batches,
        duplicate_batches=account.duplicate_batches,
        at=now,
        revisions={f"{key:x}": mark for key, mark in account.guard.marks.items()},
        pending_digests=dict(audit.ends),
    )


def from_event(event: AccountEvent) -> Account:
    """The account that was saved."""
    account = Account(
        Origin(event.tenant, event.site, event.gateway, event.boot), TopicPartition(ROLLUPS, event.partition)
    )
    account.next_offset, account.at = event.offset, event.at
    account.audit = Audit(
        Intervals(tuple(event.received_seqs)),
        {seq: Link(*link) for seq, link in event.pending_digests.items()},
        _breach(event),
        Intervals(tuple(event.excused_seqs)),
    )
    account.guard = RevisionGuard({int(key, 16): Mark(*mark) for key, mark in event.revisions.items()})
    account.stored, account.batches, account.duplicate_batches = event.stored, event.batches, event.duplicate_batches
    account.totals = Totals(event.received, event.rolled_up, event.duplicate, event.open)
    account.rejected, account.dropped, account.classes = event.rejected, event.dropped, event.classes
    return account


def _breach(event: AccountEvent) -> Breach | None:
    if event.finding in {LedgerFinding.BALANCED, LedgerFinding.GAP, LedgerFinding.MISCOUNTED}:
        return None
    return Breach(event.first_broken_seq, LedgerFinding(event.finding))


def _bounded(counts: Mapping[str, int]) -> dict[str, int]:
    # Reasons come from the gateway: whatever it calls them, the account stays small and its sum the same.
    fitting = [name for name in sorted(counts) if len(name) <= NAME_LIMIT and name != OTHER][:MAX_REASONS]
    bounded = {name: counts[name] for name in fitting}
    rest = sum(counts.values()) - sum(bounded.values())
    return bounded | ({OTHER: min(rest, MAX_COUNT)} if rest else {})
