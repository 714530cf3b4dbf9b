"""The gateway's account: what became of every sample, entry by entry chained by their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.batch_checks import SPANS_LIMIT
from ingest.contract.ledger import GENESIS, LedgerEntry, Spans, join_spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge_aggregator.windows.rollups import Settled


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Samples since the account began, by what became of them."""

    received: int = 0
    rolled_up: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = {}
    dropped: dict[str, int] = {}
    open: int = 0

    def unaccounted(self) -> int:
        """Samples that no count explains; 0 when the account balances."""
        explained = self.rolled_up + self.duplicate + sum(self.rejected.values()) + sum(self.dropped.values())
        return self.received - explained - self.open


class Head(msgspec.Struct, frozen=True):
    """The newest entry: its seq (0 before the first) and its digest."""

    seq: int = 0
    digest: bytes = GENESIS


class Ledger:
    """The account of one gateway. Entries have the seqs 1, 2, 3, …

    `gone` are batches that were dropped, and `owed` samples that the centre has in place of those of batches that it will
    never see: both are told in the next entry.
    """

    def __init__(self, totals: Totals, head: Head, *, owed: int = 0, gone: Spans = ()) -> None:
        self.totals, self.head = totals, head
        self.owed, self.gone = owed, gone
        self._written = totals

    def receive(self, received: int, rejected: Mapping[str, int]) -> None:
        """Samples came, some of which are refused at once; the others are open."""
        refused = sum(rejected.values())
        self._set(
            received=self.totals.received + received,
            rejected=_added(self.totals.rejected, rejected),
            open=self.totals.open + received - refused,
        )

    def reject(self, reason: str, samples: int) -> None:
        """Open samples are refused."""
        if samples:
            self._set(rejected=_added(self.totals.rejected, {reason: samples}), open=self.totals.open - samples)

    def settle(self, settled: Settled) -> None:
        """Open samples turned out to be duplicates, lost or refused; those of the rollups stay open until `enter`."""
        gone = settled.duplicate + sum(settled.dropped.values()) + sum(settled.rejected.values())
        self._set(
            duplicate=self.totals.duplicate + settled.duplicate,
            dropped=_added(self.totals.dropped, settled.dropped),
            rejected=_added(self.totals.rejected, settled.rejected),
            open=self.totals.open - gone,
        )

    def lose(self, reason: str, samples: int) -> None:
        """Open samples are gone."""
        if samples:
            self._set(dropped=_added(self.totals.dropped, {reason: samples}), open=self.totals.open - samples)

    def drop(self, reason: str, samples: int) -> None:
        """Samples that had been rolled up will not be sent."""
        if samples:
            dropped = _added(self.totals.dropped, {reason: samples})
            self._set(dropped=dropped, rolled_up=self.totals.rolled_up - samples)

    def reopen(self, samples: int) -> None:
        """Samples that had been rolled up are open again: their windows are, and will be shipped whole."""
        self._set(rolled_up=self.totals.rolled_up - samples, open=self.totals.open + samples)

    def withdraw(self, entry: LedgerEntry, reason: str, lost: int, reopened: int = 0) -> None:
        """The entry's batch will not be sent.

        `lost` of its samples reach the centre in no other one either, `reopened` belong to windows that are still open.
        """
        self.drop(reason, lost)
        self.reopen(reopened)
        self.owed += entry.net + entry.carried - lost - reopened
        self.gone = join_spans(self.gone, entry.gone, entry.replaces, ((entry.seq, entry.seq),))

    def replace(self, entries: Iterable[LedgerEntry], carried: int) -> Spans:
        """These entries' batches will not be sent, others with `carried` samples will: the seqs that those replace."""
        replaced: Spans = ()
        for entry in entries:
            self.owed += entry.net + entry.carried
            self.gone = join_spans(self.gone, entry.gone)
            replaced = join_spans(replaced, entry.replaces, ((entry.seq, entry.seq),))
        self.owed -= carried
        self.gone = join_spans(self.gone, replaced[SPANS_LIMIT:])
        return replaced[:SPANS_LIMIT]

    def next_entry(self, net: int, *, carried: int = 0, replaces: Spans = ()) -> LedgerEntry:
        """The entry for a batch that brings `net` samples from open to rolled up; nothing changes yet.

        The batch has `carried` samples of those that it `replaces`.
        """
        totals = self.totals
        return LedgerEntry(
            seq=self.head.seq + 1,
            received=totals.received,
            rolled_up=totals.rolled_up + net,
            duplicate=totals.duplicate,
            rejected=totals.rejected,
            dropped=totals.dropped,
            open=totals.open - net,
            net=net,
            previous=self.head.digest,
            carried=carried + self.owed,
            replaces=replaces,
            gone=self.gone[:SPANS_LIMIT],
        )

    def enter(self, entry: LedgerEntry) -> None:
        """The entry's batch has been written."""
        self._set(rolled_up=entry.rolled_up, open=entry.open)
        self.head = Head(entry.seq, entry.digest())
        self.owed, self.gone = 0, self.gone[SPANS_LIMIT:]
        self._written = self.totals

    def untold(self) -> bool:
        """Whether samples have been refused, lost or found twice since the newest entry, or batches dropped."""
        now, then = self.totals, self._written
        return bool(self.owed or self.gone) or (now.duplicate, now.rejected, now.dropped) != (
            then.duplicate,
            then.rejected,
            then.dropped,
        )

    def _set(self, **counts: int | dict[str, int]) -> None:
        self.totals = msgspec.structs.replace(self.totals, **counts)


def _added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    total = dict(counts)
    for reason, samples in more.items():
        if samples:
            total[reason] = total.get(reason, 0) + samples
    return total
