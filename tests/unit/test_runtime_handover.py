"""A partition's state is left for whoever gets it next: the newest, as a whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.contract.names import HANDOVERS
from ingest.contract.records import Outgoing, TopicPartition
from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.handover import BYTES_A_SECOND, Handover, Left
from ingest.runtime.telemetry import Telemetry

THREE, FIVE = TopicPartition("t", 3), TopicPartition("t", 5)
PARTS = {"state-3": b"three", "more-3": b"\x00\xff", "state-5": b"five", "of-all": b"shared"}


def partition_of(part: str) -> int | None:
    number = part.rpartition("-")[2]
    return int(number) if number.isdecimal() else None


def member(folder: Path, telemetry: Telemetry | None = None) -> Handover:
    return Handover(folder / "shared", partition_of, telemetry or Telemetry("test"), "summing", 1000)


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoint:
    checkpoint = Checkpoint(tmp_path / "one.db")
    checkpoint.save(PARTS, {THREE: 30, FIVE: 50}, [])
    return checkpoint


def test_who_is_behind_takes_what_was_left_and_nobody_else(tmp_path: Path, saved: Checkpoint) -> None:
    member(tmp_path).leave(saved, [THREE], 0)
    other = member(tmp_path)
    expected = Left(30, {"state-3": b"three", "more-3": b"\x00\xff"})
    assert other.newer(THREE, None) == other.newer(THREE, 29) == expected
    assert other.newer(THREE, 30) is None
    assert other.newer(FIVE, None) is None  # not held by who left


def test_a_member_that_was_away_does_not_overwrite_what_is_newer(tmp_path: Path, saved: Checkpoint) -> None:
    ahead = Checkpoint(tmp_path / "two.db")
    ahead.save({"state-3": b"ahead"}, {THREE: 31}, [])
    member(tmp_path).leave(ahead, [THREE], 0)
    member(tmp_path).leave(saved, [THREE], 0)
    assert member(tmp_path).newer(THREE, 0) == Left(31, {"state-3": b"ahead"})


def test_nothing_is_left_before_what_it_led_to_is_in_the_log(tmp_path: Path, saved: Checkpoint) -> None:
    saved.save({}, {}, [Outgoing("out", b"k", b"v")])
    leaving = member(tmp_path)
    leaving.leave(saved, [THREE], 0)
    assert leaving.newer(THREE, 0) is None
    saved.sent(saved.unsent().up_to)
    leaving.leave(saved, [THREE], 0)
    assert leaving.newer(THREE, 0) is not None


def test_it_is_left_every_so_often_and_large_states_more_seldom(tmp_path: Path, saved: Checkpoint) -> None:
    leaving = member(tmp_path)
    assert leaving.due(0)
    leaving.leave(saved, [THREE, FIVE], 10_000)
    assert not leaving.due(10_999)
    assert leaving.due(11_000)
    saved.save({"state-3": bytes(3 * BYTES_A_SECOND)}, {THREE: 31}, [])
    leaving.leave(saved, [THREE, FIVE], 20_000)
    assert not leaving.due(22_999)
    assert leaving.due(23_100)


@pytest.mark.parametrize("damage", [b"", b"tidegate state 1", b"nonsense" * 20])
def test_a_damaged_file_is_counted_and_replaced(tmp_path: Path, saved: Checkpoint, damage: bytes) -> None:
    telemetry = Telemetry("test")
    leaving = member(tmp_path, telemetry)
    leaving.leave(saved, [THREE], 0)
    (file,) = (tmp_path / "shared").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage)
    assert leaving.newer(THREE, 0) is None
    file.write_bytes(whole[:-1] + b"!")
    assert leaving.newer(THREE, 0) is None
    counted = {"stage": "summing", "outcome": "failed"}
    assert telemetry.registry.get_sample_value(HANDOVERS.name, counted) == 1.0
    saved.save({}, {THREE: 32}, [])
    leaving.leave(saved, [THREE], 0)
    assert leaving.newer(THREE, 0) is not None


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, saved: Checkpoint) -> None:
    (tmp_path / "shared").write_text("no folder")
    telemetry = Telemetry("test")
    leaving = member(tmp_path, telemetry)
    leaving.leave(saved, [THREE], 0)
    assert leaving.newer(THREE, 0) is None
    assert telemetry.registry.get_sample_value(HANDOVERS.name, {"stage": "summing", "outcome": "failed"}) == 2.0
