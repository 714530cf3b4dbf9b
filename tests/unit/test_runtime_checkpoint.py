"""State, positions and queued records are saved together and survive."""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec

from ingest.contract.records import Outgoing, TopicPartition
from ingest.runtime.checkpoint import Checkpoint

PLACE = TopicPartition("t", 3)


def test_all_three_are_there_after_a_restart(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path / "worker.db")
    record = Outgoing("out", b"k", b"v", (("ce_id", b"1"),))
    first.save({"state": b"abc"}, {PLACE: 17}, [record, Outgoing("out", b"k", None)])
    again = Checkpoint(tmp_path / "worker.db")
    assert again.load() == {"state": b"abc"}
    assert again.positions() == {PLACE: 17}
    assert again.unsent().records == [record, Outgoing("out", b"k", None)]


def test_sent_records_are_forgotten_in_order(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "worker.db")
    queued = [Outgoing("out", b"%d" % n, b"") for n in range(2500)]
    checkpoint.save({}, {}, queued)
    first = checkpoint.unsent()
    assert 0 < len(first.records) < 2500
    checkpoint.sent(first.up_to)
    left = queued[len(first.records) :]
    again = Checkpoint(tmp_path / "worker.db")
    while (unsent := again.unsent()).records:
        assert unsent.records == left[: len(unsent.records)]
        left = left[len(unsent.records) :]
        again.sent(unsent.up_to)
    assert not left


def test_what_is_queued_meanwhile_comes_after(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "worker.db")
    checkpoint.save({}, {}, [Outgoing("out", b"1", b"")])
    unsent = checkpoint.unsent()
    checkpoint.save({}, {}, [Outgoing("out", b"2", b"")])
    assert [record.key for record in checkpoint.unsent().records] == [b"1"]
    checkpoint.sent(unsent.up_to)
    assert [record.key for record in checkpoint.unsent().records] == [b"2"]


def test_large_records_are_handed_out_a_few_at_a_time(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "worker.db")
    checkpoint.save({}, {}, [Outgoing("out", b"k", bytes(1_000_000)) for _ in range(12)])
    assert len(checkpoint.unsent().records) < 12


def test_records_queued_by_an_earlier_release_are_sent(tmp_path: Path) -> None:
    record = Outgoing("out", b"k", b"v", (("ce_id", b"1"),))
    Checkpoint(tmp_path / "worker.db").close()
    with apsw.Connection(str(tmp_path / "worker.db")) as before:
        before.executemany("INSERT INTO unsent (record) VALUES (?)", [(msgspec.msgpack.encode(record),)] * 3)
    checkpoint, found = Checkpoint(tmp_path / "worker.db"), list[Outgoing]()
    while (unsent := checkpoint.unsent()).records:
        found += unsent.records
        checkpoint.sent(unsent.up_to)
    assert found == [record] * 3


def test_parts_are_replaced_one_by_one(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "worker.db")
    checkpoint.save({"a": b"1", "b": b"1"}, {}, [])
    checkpoint.save({"b": b"2"}, {}, [])
    assert checkpoint.load() == {"a": b"1", "b": b"2"}
