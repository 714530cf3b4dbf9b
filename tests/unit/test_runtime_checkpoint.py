"""State, positions and queued records are saved together and survive."""

from __future__ import annotations

from pathlib import Path

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
    assert [record for _, record in again.unsent()] == [record, Outgoing("out", b"k", None)]


def test_sent_records_are_forgotten_in_order(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "worker.db")
    checkpoint.save({}, {}, [Outgoing("out", b"%d" % n, b"") for n in range(5)])
    ids = [number for number, _ in checkpoint.unsent(limit=2)]
    checkpoint.sent(ids[-1])
    assert [record.key for _, record in checkpoint.unsent()] == [b"2", b"3", b"4"]


def test_parts_are_replaced_one_by_one(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "worker.db")
    checkpoint.save({"a": b"1", "b": b"1"}, {}, [])
    checkpoint.save({"b": b"2"}, {}, [])
    assert checkpoint.load() == {"a": b"1", "b": b"2"}
