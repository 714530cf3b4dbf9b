"""The gateway's account: what became of every sample, entry by entry chained by their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.ledger import GENESIS, LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """The account of one gateway. Entries have the seqs 1, 2, 3, …"""

    def __init__(self, totals: Totals, head: Head) -> None:
        self.totals, self.head = totals, head
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

    def next_entry(self, net: int) -> LedgerEntry:
        """The entry for a batch that brings `net` samples from open to rolled up; nothing changes yet."""
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
        )

    def enter(self, entry: LedgerEntry) -> None:
        """The entry's batch has been written."""
        self._set(rolled_up=entry.rolled_up, open=entry.open)
        self.head = Head(entry.seq, entry.digest())
        self._written = self.totals

    def untold(self) -> bool:
        """Whether samples have been refused, lost or found twice since the newest entry."""
        now, then = self.totals, self._written
        return (now.duplicate, now.rejected, now.dropped) != (then.duplicate, then.rejected, then.dropped)

    def _set(self, **counts: int | dict[str, int]) -> None:
        self.totals = msgspec.structs.replace(self.totals, **counts)


def _added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    total = dict(counts)
    for reason, samples in more.items():
        if samples:
            total[reason] = total.get(reason, 0) + samples
    return total
