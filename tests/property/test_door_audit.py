"""The audit finds the same whatever the order of arrival, and what a look at the whole chain would find."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from ingest.contract.ledger import GENESIS, ClassCounts, LedgerEntry, Spans
from ingest.contract.reasons import LedgerFinding
from ingest.door.audit import FIRST_SEQ, Audit, Breach
from tests.rollup_batches import balanced_entry

TAMPERINGS = ("none", "none", "none", "none", "unbalanced", "class_more", "class_moved", "other_link", "begins_anew")


@st.composite
def chains(draw: st.DrawFn) -> list[LedgerEntry]:
    """A chain from seq 1 on, tampered with here and there; some entries may be missing.

    Some entries excuse others, of which most do not arrive then: a gateway that is not honest sends them all the same.
    """
    entries, previous, total = list[LedgerEntry](), GENESIS, 0
    for seq in range(FIRST_SEQ, FIRST_SEQ + draw(st.integers(1, 12))):
        net = draw(st.integers(0, 5))
        total += net
        part = draw(st.integers(0, total))
        entry = replace(
            balanced_entry(seq, net, total, previous), classes={"rev-a": of_class(part), "": of_class(total - part)}
        )
        entry = tampered(entry, draw(st.sampled_from(TAMPERINGS)))
        entry = replace(entry, replaces=draw(named_below(seq)), gone=draw(named_below(seq)))
        entries.append(entry)
        previous = entry.digest()
    honest = excused(entries) if draw(st.integers(0, 3)) else set[int]()
    sent = [entry for entry in entries if entry.seq not in honest]
    return draw(st.permutations([entry for entry in sent if draw(st.integers(0, 9)) > 0]))


def of_class(samples: int) -> ClassCounts:
    return ClassCounts(received=samples, rolled_up=samples)


def named_below(seq: int) -> st.SearchStrategy[Spans]:
    """Mostly nothing, sometimes an interval."""
    span = st.tuples(st.integers(1, max(1, seq - 1)), st.integers(0, 2))
    some = span.map(lambda pair: ((pair[0], min(seq - 1, sum(pair))),))
    return st.just(()) if seq == 1 else st.one_of(st.just(()), st.just(()), some)


def excused(entries: list[LedgerEntry]) -> set[int]:
    spans = [span for entry in entries for span in (*entry.replaces, *entry.gone)]
    return {seq for first, last in spans for seq in range(first, last + 1)}


def tampered(entry: LedgerEntry, how: str) -> LedgerEntry:
    if how == "unbalanced":
        return replace(entry, open=1)
    if how == "class_more":  # it balances, and the classes do not add up to the totals
        return replace(entry, classes=entry.classes | {"rev-b": of_class(1)})
    if how == "class_moved":  # the classes add up to the totals, and two of them do not balance
        one, other = entry.classes["rev-a"], entry.classes[""]
        moved = {
            "rev-a": replace(one, rolled_up=one.rolled_up - 1),
            "": replace(other, rolled_up=other.rolled_up + 1),
        }
        return replace(entry, classes=moved)
    if how == "other_link":
        return replace(entry, previous=bytes([7]) * 32)
    return replace(entry, previous=GENESIS) if how == "begins_anew" else entry


@settings(deadline=None)
@given(chains(), st.randoms())
def test_the_order_of_arrival_changes_nothing(entries: list[LedgerEntry], random: object) -> None:
    shuffled = sorted(entries, key=lambda _: random.random())  # type: ignore[attr-defined]  # hypothesis' own Random
    one, other = audited(entries), audited(shuffled)
    assert (one.breach, one.missing, one.excused) == (other.breach, other.missing, other.excused)
    if one.breach is None:
        assert one == other


@settings(deadline=None)
@given(chains())
def test_it_finds_what_a_look_at_the_whole_chain_finds(entries: list[LedgerEntry]) -> None:
    audit = audited(entries)
    assert audit.breach == oracle(entries)
    seqs = {entry.seq for entry in entries}
    holes = set(range(lowest(entries), max(seqs, default=0) + 1)) - seqs - excused(entries)
    if audit.breach is None:
        assert audit.missing == len(holes)
    if audit.breach is None:
        assert audit.finding == (LedgerFinding.GAP if holes else LedgerFinding.BALANCED)


@settings(deadline=None)
@given(chains())
def test_only_the_edges_of_gaps_are_kept(entries: list[LedgerEntry]) -> None:
    audit = audited(entries)
    runs = audit.settled.spans
    edges = {edge for run in runs for edge in (audit.received.first_in(run), audit.received.last_in(run))}
    assert set(audit.ends) == edges - {None}
    assert bounded(audit).newest_that_may_arrive(1, 0) == audit.newest_that_may_arrive(1, 0)
    assert (bounded(audit).missing, bounded(audit).head) == (audit.missing, audit.head)


def bounded(audit: Audit) -> Audit:
    shorter = audit.bounded(1)
    assert shorter.settled == audit.settled
    return shorter


def audited(entries: list[LedgerEntry]) -> Audit:
    audit = Audit()
    for entry in entries:
        audit = audit.after(entry, entry.seq * 1000)
    return audit


def lowest(entries: list[LedgerEntry]) -> int:
    first = min(entries, key=lambda entry: entry.seq, default=None)
    return first.seq if first and first.previous == GENESIS else FIRST_SEQ


def adds_up(entry: LedgerEntry) -> bool:
    sums = [0] * 6
    for counts in entry.classes.values():
        received, *parts = astuple(counts)
        if received != sum(parts):
            return False
        sums = [a + b for a, b in zip(sums, (received, *parts), strict=True)]
    return not entry.unaccounted() and sums == [entry.received, entry.rolled_up, 0, 0, 0, entry.open]


def oracle(entries: list[LedgerEntry]) -> Breach | None:
    never = excused(entries)
    ordered = sorted((entry for entry in entries if entry.seq not in never), key=lambda entry: entry.seq)
    breaches = [Breach(entry.seq, LedgerFinding.UNBALANCED) for entry in ordered if not adds_up(entry)]
    for before, entry in pairwise(ordered):
        follows = entry.seq != before.seq + 1 or entry.previous == before.digest()
        if not follows or entry.previous == GENESIS:
            breaches.append(Breach(entry.seq, LedgerFinding.CHAIN_BROKEN))
    if ordered and ordered[0].seq == FIRST_SEQ and ordered[0].previous != GENESIS:
        breaches.append(Breach(FIRST_SEQ, LedgerFinding.CHAIN_BROKEN))
    breaches += [Breach(entry.seq, LedgerFinding.CONTRADICTED) for entry in entries if entry.seq in never]
    return min(breaches, key=Breach.rank, default=None)
