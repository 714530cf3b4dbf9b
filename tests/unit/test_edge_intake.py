"""When a commit is due: after the interval, or at once when bytes, samples or a sender's patience are used up."""

from __future__ import annotations

import pytest

from edge_aggregator.intake import EdgeIntake
from edge_aggregator.receive.port import Arrival
from ingest.runtime.clock import SystemClock
from tests.edge_bench import Sample, message

ONE = message(Sample("d", "m", 1, 1.0))


def arrival(messages: int = 1, size: int = 100, *, window_full: bool = False) -> Arrival:
    return Arrival("test", [ONE] * messages, size, lambda: None, (), window_full)


@pytest.fixture
def intake() -> EdgeIntake:
    return EdgeIntake(SystemClock(), most_bytes=100_000, commit_bytes=10_000, commit_samples=1000, interval_s=3600.0)


def test_a_little_waits_for_the_interval(intake: EdgeIntake) -> None:
    assert intake.due_in() is None
    intake.offer(arrival())
    assert 3000 < (intake.due_in() or 0) <= 3600


def test_bytes_and_a_window_in_flight_that_is_used_up_are_reason_to_commit(intake: EdgeIntake) -> None:
    intake.offer(arrival(size=10_000))
    assert intake.due_in() == 0
    intake.take()
    intake.release(1)
    intake.offer(arrival(window_full=True))
    assert intake.due_in() == 0


def test_samples_are_judged_by_what_messages_had_before(intake: EdgeIntake) -> None:
    intake.offer(arrival(messages=20))
    assert intake.due_in() != 0
    intake.take()
    intake.release(20 * 100)
    intake.offer(arrival(messages=9))
    assert intake.due_in() != 0
    intake.offer(arrival())
    assert intake.due_in() == 0


def test_a_commit_takes_the_oldest_and_not_all_that_came_meanwhile(intake: EdgeIntake) -> None:
    for size in (30_000, 9_000, 1_000, 500, 200):
        intake.offer(arrival(size=size))
    assert [one.size for _, one in intake.take()] == [30_000, 9_000, 1_000]
    assert intake.due_in() == 0  # the rest does not wait for another interval
    intake.release(3)
    assert [one.size for _, one in intake.take()] == [500, 200]
    intake.release(2)
    assert intake.due_in() is None


def test_many_samples_in_few_bytes_are_taken_in_parts_as_well(intake: EdgeIntake) -> None:
    intake.offer(arrival(messages=10))
    intake.take()
    intake.release(10 * 100)
    for _ in range(100):
        intake.offer(arrival(messages=1, size=1))
    assert len(intake.take()) == 40


def test_one_arrival_is_never_too_much(intake: EdgeIntake) -> None:
    intake.offer(arrival(size=99_000))
    intake.offer(arrival(size=1))
    assert [one.size for _, one in intake.take()] == [99_000]


def test_what_is_being_committed_takes_room_until_it_is(intake: EdgeIntake) -> None:
    intake.offer(arrival(size=100_000))
    assert not intake.has_room()
    intake.take()
    assert not intake.has_room()
    intake.release(1)
    assert intake.has_room()
