"""The guard against older revisions: what it notes, for how long, and how much."""

from __future__ import annotations

import pytest

from ingest.contract.events import AccountEvent
from ingest.contract.records import Record, TopicPartition, read_event
from ingest.contract.topics import ROLLUPS
from ingest.door.account import MAX_GAPS, Account, to_event
from ingest.door.audit import Link
from ingest.door.book import MAX_BOOTS, Book, account_record
from ingest.door.intervals import Intervals
from ingest.door.revisions import CLOCK_MARGIN_MS, MAX_REMEMBERED, REPLACED, Kept, Mark, RevisionGuard
from ingest.runtime.log.limits import MAX_RECORD_BYTES, record_size
from tests.rollup_batches import ORIGIN, T0, Row, all_rows, make_batch

MISSING = T0 + 60_000
PLACE = TopicPartition(ROLLUPS, 3)


def noted(guard: RevisionGuard, *rows: Row, seq: int, missing: int | None = MISSING) -> None:
    batch = make_batch(rows, seq=seq)
    guard.note(batch, Kept(all_rows(batch), 0, []), missing)


def kept(guard: RevisionGuard, *rows: Row, seq: int) -> list[int]:
    return [int(row) for row in guard.sift(make_batch(rows, seq=seq)).rows]


def test_first_revisions_need_no_memory() -> None:
    guard = RevisionGuard()
    noted(guard, Row(), Row(device="b"), seq=5)
    assert guard.marks == {}


def test_what_was_corrected_is_not_overwritten_by_what_was_sent_before() -> None:
    guard = RevisionGuard()
    noted(guard, Row(revision=2), seq=9)
    older = [Row(), Row(start=T0 + 10_000), Row(device="b"), Row(metric="m"), Row(labels=(("core", "0"),))]
    assert kept(guard, *older, seq=4) == [1, 2, 3, 4]
    assert guard.sift(make_batch(older, seq=4)).superseded == 1
    assert kept(guard, Row(revision=1), seq=8) == []
    assert kept(guard, Row(revision=3), seq=12) == [0]
    assert kept(guard, Row(revision=2), seq=9) == [0]  # the same batch again


def test_a_lower_revision_never_counts_even_when_it_is_sent_later() -> None:
    guard = RevisionGuard()
    noted(guard, Row(revision=2), seq=9)
    assert kept(guard, Row(revision=1), seq=10) == []
    assert kept(guard, Row(revision=0, width=60_000), seq=10) == [0]  # another window that begins there


def test_a_replaced_window_stays_away_until_a_later_batch_writes_it() -> None:
    guard = RevisionGuard()
    batch = make_batch([Row(width=20_000)], seq=7, replaces=[Row(), Row(start=T0 + 10_000)])
    guard.note(batch, guard.sift(batch), MISSING)
    assert {mark.revision for mark in guard.marks.values()} == {0, REPLACED}
    assert kept(guard, Row(), Row(start=T0 + 10_000), seq=3) == []
    assert kept(guard, Row(start=T0 + 10_000), seq=8) == [0]


def test_windows_that_begin_where_the_batch_writes_another_are_not_removed() -> None:
    batch = make_batch([Row(width=20_000)], seq=7, replaces=[Row(), Row(start=T0 + 10_000)])
    assert [window.start for window in RevisionGuard().sift(batch).removes] == [T0 + 10_000]


def test_a_replacement_that_comes_late_removes_nothing_newer() -> None:
    guard = RevisionGuard()
    noted(guard, Row(start=T0 + 10_000, revision=1), seq=9)
    late = make_batch([Row(width=20_000)], seq=7, replaces=[Row(), Row(start=T0 + 10_000)])
    assert guard.sift(late).removes == []


def test_nothing_is_noted_when_nothing_older_can_come() -> None:
    guard = RevisionGuard()
    noted(guard, Row(revision=1), seq=9, missing=None)
    noted(guard, Row(start=MISSING + CLOCK_MARGIN_MS, revision=1), seq=9)
    assert guard.marks == {}


def test_notes_are_forgotten_once_nothing_older_can_come() -> None:
    guard = RevisionGuard()
    noted(guard, Row(revision=1), seq=5)
    noted(guard, Row(device="b", revision=1), seq=9)
    guard.forget_up_to(5)
    assert [mark.seq for mark in guard.marks.values()] == [9]


def test_the_oldest_notes_make_room() -> None:
    guard = RevisionGuard({key: Mark(key, 1, 10) for key in range(MAX_REMEMBERED)})
    batch = make_batch([Row(revision=1), Row(device="b", revision=1)], seq=MAX_REMEMBERED)
    assert guard.note(batch, Kept(all_rows(batch), 0, []), MISSING) == 2
    assert len(guard.marks) == MAX_REMEMBERED
    assert min(mark.seq for mark in guard.marks.values()) == 2


def largest_account() -> Account:
    """As much as an account may hold, with numbers as long as they may be."""
    account = Account(ORIGIN, PLACE)
    high = 1 << 53
    spans = tuple((high - 4 * i, high - 4 * i) for i in reversed(range(MAX_GAPS)))
    ends = {seq: Link(bytes([255]) * 32, bytes([254]) * 32, high) for seq, _ in spans}
    account.audit = account.audit._replace(received=Intervals(spans), ends=ends)
    account.guard = RevisionGuard({(1 << 64) - 1 - i: Mark(high, 65_535, (1 << 32) - 1) for i in range(MAX_REMEMBERED)})
    reasons = {f"{i:\x01>64}": high for i in range(500)} | {"x" * 10_000: 1}
    account.take(make_batch([Row()], seq=high + 2), account.audit, Kept(all_rows(make_batch([])), 0, []))
    ledger = make_batch([Row()], seq=high + 2).ledger
    account._copy_totals(
        type(ledger)(**{f: getattr(ledger, f) for f in ledger.__struct_fields__} | {"rejected": reasons})
    )
    return account


def test_the_largest_account_fits_into_a_record() -> None:
    account = largest_account()
    assert len(account.guard.marks) == MAX_REMEMBERED
    assert record_size(account_record(account, 1 << 53)) <= MAX_RECORD_BYTES * 0.9
    assert sum(account.rejected.values()) == 500 * (1 << 53) + 1


def test_an_account_comes_back_as_it_was_saved() -> None:
    account = largest_account()
    outgoing = account_record(account, 7)
    book = Book()
    book.restore([Record(outgoing.topic, 0, 0, outgoing.key, outgoing.value, outgoing.headers, 0)], frozenset())
    (restored,) = book.accounts.values()
    assert to_event(restored, 7) == to_event(account, 7)
    assert read_event(Record("", 0, 0, b"", outgoing.value, (), 0), AccountEvent) == to_event(account, 7)


def test_a_gateway_with_ever_new_boots_keeps_only_so_many_accounts() -> None:
    book = Book()
    honest = book.account(ORIGIN._replace(gateway="honest"), PLACE)
    for boot in range(MAX_BOOTS + 3):
        book.changed(book.account(ORIGIN._replace(boot=f"boot-{boot}"), PLACE))
        if boot == 2:
            book.unsaved(now=100)
    assert len(book.accounts) == MAX_BOOTS + 1
    assert book.account(honest.origin, PLACE) is honest
    tombstones = [record.key for record in book.unsaved(now=200) if record.value is None]
    assert tombstones == [b"acme/plant-7/gw-1/boot-%d" % boot for boot in range(3)]


@pytest.mark.parametrize("kept_place", [True, False])
def test_only_partitions_that_stayed_ours_keep_what_is_in_memory(*, kept_place: bool) -> None:
    book = Book()
    account = book.account(ORIGIN, PLACE)
    account.stored = 5
    (saved,) = [account_record(account, 1)]
    account.stored = 9
    book.changed(account)
    record = Record(saved.topic, 0, 0, saved.key, saved.value, saved.headers, 0)
    book.restore([record], {PLACE} if kept_place else frozenset())
    assert book.accounts[ORIGIN].stored == (9 if kept_place else 5)
    assert len(book.unsaved(2)) == int(kept_place)
