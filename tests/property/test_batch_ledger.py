"""The ledger's digest is what docs/wire-format.md says, for every entry."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.batch_checks import BadBatchError, check_spans
from ingest.contract.ledger import ClassCounts, LedgerEntry, Spans
from tests.wire_reader import digest, read

amounts = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32])
tallies = st.dictionaries(st.text(max_size=40), amounts, max_size=20)
signed = (
    amounts
    | st.integers(-(1 << 63), -1)
    | st.sampled_from([-32, -33, -128, -129, -32768, -32769, -(1 << 31), -(1 << 31) - 1])
)
spans = st.lists(st.tuples(amounts, amounts), max_size=20).map(tuple)
classes = st.dictionaries(st.text(max_size=40), st.builds(ClassCounts, *[amounts] * 6), max_size=20)
entries = st.builds(
    LedgerEntry,
    seq=amounts,
    received=amounts,
    rolled_up=amounts,
    duplicate=amounts,
    rejected=tallies,
    dropped=tallies,
    open=amounts,
    net=signed,
    previous=st.binary(min_size=32, max_size=32),
    carried=signed,
    replaces=spans,
    gone=spans,
    classes=classes,
)


@given(entries)
def test_the_digest_can_be_computed_from_the_document(entry: LedgerEntry) -> None:
    assert entry.digest() == digest(as_read(entry))


@given(entries)
def test_what_came_with_version_2_changes_no_digest_of_version_1(entry: LedgerEntry) -> None:
    first = as_read(entry.first_version())
    assert entry.first_version().digest() == digest({name: first[name] for name in list(first)[:9]})


def as_read(entry: LedgerEntry) -> dict[str, Any]:
    """The entry as a reader that knows nothing of it finds it."""
    return read(msgspec.msgpack.encode(entry))[0]


numbers = st.integers(-2, 12)


@given(st.lists(st.tuples(numbers, numbers), max_size=4).map(tuple), st.integers(0, 12))
def test_seqs_that_are_named_rise_apart_below_the_own(named: Spans, seq: int) -> None:
    every = [number for first, last in named for number in range(first, last + 1)]
    holes = all(before[1] + 1 < after[0] for before, after in pairwise(named))
    sound = holes and all(first <= last for first, last in named) and all(0 < number < seq for number in every)
    try:
        check_spans(named, seq)
    except BadBatchError:
        assert not sound
    else:
        assert sound


counts = st.builds(ClassCounts, *[st.integers(0, 3)] * 6)


@given(st.lists(counts, max_size=3), st.integers(-1, 1))
def test_classes_add_up_to_the_totals(parts: list[ClassCounts], wrong: int) -> None:
    sums = [sum(column) for column in zip(*(msgspec.structs.astuple(part) for part in parts), strict=True)] or [0] * 6
    entry = LedgerEntry(
        seq=1,
        received=sums[0],
        rolled_up=sums[1] + wrong,
        duplicate=sums[2] - wrong,
        rejected={"malformed": sums[3]},
        dropped={"outbox_full": sums[4]},
        open=sums[5],
        net=0,
        previous=bytes(32),
        classes={f"rev-{number}": part for number, part in enumerate(parts)},
    )
    each = all(part.received == sum(msgspec.structs.astuple(part)[1:]) for part in parts)
    assert entry.balances() == (each and (not wrong or not parts))


@given(entries, st.randoms(use_true_random=False))
def test_the_order_in_which_reasons_were_counted_does_not_matter(entry: LedgerEntry, random: st.Random) -> None:
    shuffled = list(entry.rejected.items())
    random.shuffle(shuffled)
    assert msgspec.structs.replace(entry, rejected=dict(shuffled)).digest() == entry.digest()


@given(entries, st.sampled_from(["seq", "received", "rolled_up", "duplicate", "open", "net"]))
def test_every_number_counts(entry: LedgerEntry, field: str) -> None:
    changed = msgspec.structs.replace(entry, **{field: getattr(entry, field) ^ 1})
    assert changed.digest() != entry.digest()
    expected = {"received": 1, "seq": 0, "net": 0}.get(field, -1) * (getattr(changed, field) - getattr(entry, field))
    assert changed.unaccounted() - entry.unaccounted() == expected
