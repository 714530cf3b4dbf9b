"""The ledger's audit: every entry balances, and each follows from the one before it, in whatever order they arrive."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.ledger import GENESIS
from ingest.contract.reasons import LedgerFinding
from ingest.door.intervals import Intervals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ingest.contract.ledger import LedgerEntry

FIRST_SEQ = 1
"""Where a chain is taken to begin while its beginning has not been seen: entries from here on are missing."""


class Link(NamedTuple):
    """What is kept of an entry at the edge of a gap: predecessor's digest, own digest, the batch's `created` (ms)."""

    previous: bytes
    digest: bytes
    created: int


class Breach(NamedTuple):
    """The first seq at which the account breaks, and how."""

    seq: int
    finding: LedgerFinding


class Audit(NamedTuple):
    """What is known of one chain; immutable.

    `ends` are the links of the first and last seq of each interval received, `broken` the first breach seen so far.
    What it finds depends on which entries have arrived, never on their order.
    """

    received: Intervals = Intervals()
    ends: Mapping[int, Link] = MappingProxyType({})
    broken: Breach | None = None

    def after(self, entry: LedgerEntry, created: int) -> Audit:
        """The audit with one more entry, which must be new."""
        link = Link(entry.previous, entry.digest(), created)
        received = self.received.including(entry.seq)
        ends = _outer({**self.ends, entry.seq: link}, received, entry.seq)
        return Audit(received, ends, _first(self.broken, *self._breaches(entry, link)))

    @property
    def breach(self) -> Breach | None:
        """The first seq at which the account breaks, None while it holds."""
        lowest = self.received.spans[0][0] if self.received.spans else FIRST_SEQ
        if lowest in self.ends and lowest <= FIRST_SEQ and not self._begins_at(lowest):
            return _first(self.broken, Breach(lowest, LedgerFinding.CHAIN_BROKEN))
        return self.broken

    @property
    def finding(self) -> LedgerFinding:
        """The first breach's; without one a gap, unless nothing is missing."""
        if self.breach:
            return self.breach.finding
        return LedgerFinding.GAP if self.missing else LedgerFinding.BALANCED

    @property
    def missing(self) -> int:
        """How many entries below the highest one have not arrived. Late is not lost: they may."""
        if not self.received.spans:
            return 0
        lowest = self.received.spans[0][0]
        return self.received.missing_from(lowest if self._begins_at(lowest) else min(lowest, FIRST_SEQ))

    @property
    def head(self) -> tuple[int, bytes]:
        """Seq and digest of the last entry that follows from the chain's beginning without a gap; 0 and GENESIS if none."""
        if not self.received.spans or not self._begins_at(self.received.spans[0][0]):
            return 0, GENESIS
        last = self.received.spans[0][1]
        return last, self.ends[last].digest

    def newest_that_may_arrive(self, seq: int, created: int) -> int | None:
        """An upper bound (ms) of `created` of the batches below `seq` that are still missing; None when none is.

        `created` is that of batch `seq`, which need not have arrived.
        """
        span = self.received.span_of(seq)
        if span is None:
            return created
        first = span[0]
        return None if self._begins_at(first) or first <= 0 else self.ends[first].created

    def _begins_at(self, seq: int) -> bool:
        return self.ends[seq].previous == GENESIS

    def _breaches(self, entry: LedgerEntry, link: Link) -> Iterator[Breach]:
        before, after = self.ends.get(entry.seq - 1), self.ends.get(entry.seq + 1)
        spans = self.received.spans
        if before and before.digest != link.previous:
            yield Breach(entry.seq, LedgerFinding.CHAIN_BROKEN)
        if after and after.previous != link.digest:
            yield Breach(entry.seq + 1, LedgerFinding.CHAIN_BROKEN)
        # A chain begins once, and nothing comes before its beginning.
        if link.previous == GENESIS and spans and spans[0][0] < entry.seq:
            yield Breach(entry.seq, LedgerFinding.CHAIN_BROKEN)
        if spans and entry.seq < spans[0][0] and self._begins_at(spans[0][0]):
            yield Breach(spans[0][0], LedgerFinding.CHAIN_BROKEN)
        if not entry.balances():
            yield Breach(entry.seq, LedgerFinding.UNBALANCED)


def _first(*breaches: Breach | None) -> Breach | None:
    return min((breach for breach in breaches if breach), default=None)


def _outer(ends: dict[int, Link], received: Intervals, seq: int) -> dict[int, Link]:
    # Only the new entry and its neighbours can have come to lie inside an interval.
    span = received.span_of(seq)
    assert span is not None
    inside = {near for near in (seq - 1, seq, seq + 1) if span[0] < near < span[1]}
    return {number: link for number, link in ends.items() if number not in inside} if inside else ends
