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

    def rank(self) -> tuple[int, bool, LedgerFinding]:
        """What comes first. Of a batch that should not be there at all, nothing else is worth saying."""
        return self.seq, self.finding is not LedgerFinding.CONTRADICTED, self.finding


class Audit(NamedTuple):
    """What is known of one chain; immutable.

    `received` are the seqs that arrived, `excused` those that will never arrive because an entry said so (`replaces`,
    `gone`); a seq that is one of both is a contradiction. `ends` are the links of the first and last seq received in each
    run of settled ones, `broken` the first breach seen so far. What it finds depends on which entries have arrived, never
    on their order.
    """

    received: Intervals = Intervals()
    ends: Mapping[int, Link] = MappingProxyType({})
    broken: Breach | None = None
    excused: Intervals = Intervals()

    def after(self, entry: LedgerEntry, created: int) -> Audit:
        """The audit with one more entry, which must be new."""
        link, excuses = Link(entry.previous, entry.digest(), created), (*entry.replaces, *entry.gone)
        received, ends = self.received, dict(self.ends)
        breaches = list(self._contradictions(excuses))
        if entry.seq in self.excused:
            breaches.append(Breach(entry.seq, LedgerFinding.CONTRADICTED))
        else:
            breaches += self._breaches(entry, link)
            received, ends[entry.seq] = received.including(entry.seq), link
        audit = Audit(received, ends, _first(self.broken, *breaches), self.excused.including_all(excuses))
        return audit._replace(ends=audit._outer())

    def bounded(self, most: int) -> Audit:
        """The same with at most so many excused intervals within runs: the oldest count as received from now on."""
        surplus = len(self.excused.spans) - most
        inner = [span for span in self.excused.spans if span[0] - 1 in self.received and span[1] + 1 in self.received]
        old = inner[: max(0, surplus)]
        if not old:
            return self
        kept = tuple(span for span in self.excused.spans if span not in set(old))
        return self._replace(received=self.received.including_all(old), excused=Intervals(kept))

    @property
    def settled(self) -> Intervals:
        """The seqs that are not to be awaited any more."""
        return self.received.including_all(self.excused.spans)

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
        """How many entries below the highest one have not arrived and may. Late is not lost."""
        if not self.received.spans:
            return 0
        lowest = self.received.spans[0][0]
        return self.settled.missing_from(lowest if self._begins_at(lowest) else min(lowest, FIRST_SEQ))

    @property
    def head(self) -> tuple[int, bytes]:
        """Seq and digest of the last entry up to which nothing is missing; 0 and GENESIS if there is none."""
        if not self.received.spans or not self._is_beginning(self.settled.spans[0]):
            return 0, GENESIS
        last = self.received.last_in(self.settled.spans[0])
        return (0, GENESIS) if last is None else (last, self.ends[last].digest)

    def newest_that_may_arrive(self, seq: int, created: int) -> int | None:
        """An upper bound (ms) of `created` of the batches below `seq` that are still missing; None when none is.

        `created` is that of batch `seq`, which need not have arrived.
        """
        span = self.settled.span_of(seq)
        first = None if span is None else self.received.first_in(span)
        if span is None or first is None:
            return created
        return None if self._is_beginning(span) else self.ends[first].created

    def _is_beginning(self, span: tuple[int, int]) -> bool:
        first = self.received.first_in(span)
        return span[0] <= FIRST_SEQ - 1 or (span[0] == FIRST_SEQ and first != FIRST_SEQ) or self._starts(first)

    def _starts(self, first: int | None) -> bool:
        return first is not None and self._begins_at(first)

    def _begins_at(self, seq: int) -> bool:
        return seq in self.ends and self.ends[seq].previous == GENESIS

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

    def _contradictions(self, excuses: tuple[tuple[int, int], ...]) -> Iterator[Breach]:
        for span in excuses:
            first = self.received.first_in(span)
            if first is not None:
                yield Breach(first, LedgerFinding.CONTRADICTED)

    def _outer(self) -> dict[int, Link]:
        # Between two entries that were received only those matter that have a gap beside them, or an excused one.
        settled = self.settled
        return {seq: link for seq, link in self.ends.items() if self._is_outer(seq, settled)}

    def _is_outer(self, seq: int, settled: Intervals) -> bool:
        span = settled.span_of(seq)
        return span is not None and seq in {self.received.first_in(span), self.received.last_in(span)}


def _first(*breaches: Breach | None) -> Breach | None:
    return min((breach for breach in breaches if breach), key=Breach.rank, default=None)
