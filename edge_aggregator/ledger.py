"""The gateway's account: what became of every sample, entry by entry chained by their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_aggregator.by_device import NOBODY, of_some
from edge_aggregator.class_account import DeviceAccount
from ingest.contract.batch_checks import SPANS_LIMIT
from ingest.contract.ledger import GENESIS, ClassCounts, LedgerEntry, Spans, join_spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge_aggregator.by_device import ByDevice
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

    def counts(self, net: int = 0) -> ClassCounts:
        """All of it as one class, when `net` more samples are rolled up."""
        refused, lost = sum(self.rejected.values()), sum(self.dropped.values())
        return ClassCounts(self.received, self.rolled_up + net, self.duplicate, refused, lost, self.open - net)


class Head(msgspec.Struct, frozen=True):
    """The newest entry: its seq (0 before the first) and its digest."""

    seq: int = 0
    digest: bytes = GENESIS


class Ledger:
    """The account of one gateway. Entries have the seqs 1, 2, 3, …

    `gone` are batches that were dropped, and `owed` samples that the centre has in place of those of batches that it will
    never see: both are told in the next entry. `account` is the same by device: what is `of` no device is of nobody known.
    """

    def __init__(
        self,
        totals: Totals,
        head: Head,
        *,
        owed: int = 0,
        gone: Spans = (),
        account: DeviceAccount | None = None,
    ) -> None:
        self.totals, self.head = totals, head
        self.owed, self.gone = owed, gone
        self.account = account or DeviceAccount()
        self._written = totals

    def receive(
        self,
        received: int,
        rejected: Mapping[str, int],
        *,
        of: ByDevice = NOBODY,
        rejected_of: Mapping[int, int] | None = None,
    ) -> None:
        """Samples came, some of which are refused at once; the others, `of` these devices, are open."""
        refused = sum(rejected.values())
        self._set(
            received=self.totals.received + received,
            rejected=_added(self.totals.rejected, rejected),
            open=self.totals.open + received - refused,
        )
        self.account.add("received", of)
        if rejected_of:
            self.account.add("received", of_some(rejected_of))
            self.account.add("rejected", of_some(rejected_of))

    def reject(self, reason: str, of: ByDevice) -> None:
        """Open samples are refused."""
        samples = int(of.sum())
        if samples:
            self._set(rejected=_added(self.totals.rejected, {reason: samples}), open=self.totals.open - samples)
            self.account.add("rejected", of)

    def settle(self, settled: Settled) -> None:
        """Open samples turned out to be duplicates, lost or refused; those of the rollups stay open until `enter`."""
        gone = settled.duplicate + sum(settled.dropped.values()) + sum(settled.rejected.values())
        self._set(
            duplicate=self.totals.duplicate + settled.duplicate,
            dropped=_added(self.totals.dropped, settled.dropped),
            rejected=_added(self.totals.rejected, settled.rejected),
            open=self.totals.open - gone,
        )
        for name, of in settled.fates._asdict().items():
            self.account.add(name, of)

    def adopt(self, still: ByDevice) -> None:
        """The account by device begins: these samples are open, what was before is of nobody known."""
        self.account.add("received", still)

    def lose(self, reason: str, samples: int, of: ByDevice = NOBODY) -> None:
        """Open samples are gone."""
        if samples:
            self._set(dropped=_added(self.totals.dropped, {reason: samples}), open=self.totals.open - samples)
            self.account.add("dropped", of)

    def withdraw(
        self,
        entry: LedgerEntry,
        reason: str = "",
        lost: Mapping[int, int] | None = None,
        reopened: Mapping[int, int] | None = None,
    ) -> None:
        """The entry's batch will not be sent.

        `lost` of its samples (by device) reach the centre in no other one either, `reopened` belong to windows that are
        still open.
        """
        lost, reopened = lost or {}, reopened or {}
        self._drop(reason, lost)
        self._reopen(reopened)
        self.owed += entry.net + entry.carried - sum(lost.values()) - sum(reopened.values())
        self.gone = join_spans(self.gone, entry.gone, entry.replaces, ((entry.seq, entry.seq),))

    def _drop(self, reason: str, lost: Mapping[int, int]) -> None:
        if samples := sum(lost.values()):
            dropped = _added(self.totals.dropped, {reason: samples})
            self._set(dropped=dropped, rolled_up=self.totals.rolled_up - samples)
            self.account.take_back(of_some(lost))
            self.account.add("dropped", of_some(lost))

    def _reopen(self, reopened: Mapping[int, int]) -> None:
        samples = sum(reopened.values())
        self._set(rolled_up=self.totals.rolled_up - samples, open=self.totals.open + samples)
        self.account.take_back(of_some(reopened))

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

    def next_entry(self, of: ByDevice = NOBODY, *, carried: int = 0, replaces: Spans = ()) -> LedgerEntry:
        """The entry for a batch that brings samples, by device, from open to rolled up; nothing changes yet.

        The batch has `carried` samples of those that it `replaces`.
        """
        totals, net = self.totals, int(of.sum())
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
            classes=self.account.classes(totals.counts(net), of),
        )

    def enter(self, entry: LedgerEntry, of: ByDevice = NOBODY) -> None:
        """The entry's batch has been written; `of` as in `next_entry`."""
        self._set(rolled_up=entry.rolled_up, open=entry.open)
        self.account.add("rolled_up", of)
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
