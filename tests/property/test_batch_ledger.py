"""The ledger's digest is what docs/wire-format.md says, for every entry."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.ledger import LedgerEntry
from tests.wire_reader import digest

amounts = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32])
tallies = st.dictionaries(st.text(max_size=40), amounts, max_size=20)
signed = (
    amounts
    | st.integers(-(1 << 63), -1)
    | st.sampled_from([-32, -33, -128, -129, -32768, -32769, -(1 << 31), -(1 << 31) - 1])
)
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
)


@given(entries)
def test_the_digest_can_be_computed_from_the_document(entry: LedgerEntry) -> None:
    assert entry.digest() == digest(msgspec.structs.asdict(entry))


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
