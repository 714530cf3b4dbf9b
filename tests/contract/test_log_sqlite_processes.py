"""The embedded log between processes: several at once, and some that are killed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from ingest.runtime.clock import ManualClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.log.sqlite.log import LEASE_S
from tests.contract.log_child import PARTITIONS, PER_CALL, records
from tests.contract.log_place import FastForwardClock, polled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.contract.records import Record

TOPIC = "test.processes"


class Children:
    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path, self._stack = path, stack

    def start(self, what: str, name: str, *count: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "tests.contract.log_child", what, str(self._path), TOPIC, name, *count]
        child = self._stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        self._stack.callback(child.kill)
        return child


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def children(path: Path) -> Iterator[Children]:
    with ExitStack() as stack:
        yield Children(path, stack)


async def read_all(path: Path) -> list[Record]:
    log = SqliteLog(path, ManualClock(), patience_s=30)
    tail = await log.subscribe([TOPIC], group=None, member="test")
    found: list[Record] = []
    while piece := await tail.poll(1000, 0):
        found += piece
    await log.close()
    return found


def assert_whole(found: list[Record], calls: dict[str, int]) -> None:
    """Every call is there completely, as it was, in order; `calls` says of how many at least."""
    numbers: dict[str, list[int]] = {name: [] for name in calls}
    for record in found:
        name = record.key.decode().rpartition("-")[0]
        numbers[name].append(int((record.value or b"").partition(b":")[0]))
    for name, wanted in calls.items():
        assert len(numbers[name]) >= wanted * PER_CALL
        assert len(numbers[name]) % PER_CALL == 0, "a call was appended in part"
        expected = [r for call in range(len(numbers[name]) // PER_CALL) for r in records(TOPIC, name, call)]
        assert Counter((r.key, r.value) for r in expected) == Counter(
            (r.key, r.value) for r in found if r.key.startswith(f"{name}-".encode())
        )
        for key in {record.key for record in expected}:
            in_order = [r.value for r in found if r.key == key]
            assert in_order == [r.value for r in expected if r.key == key]
    for partition in range(PARTITIONS):
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(len(offsets)))


async def test_processes_that_create_and_append_at_once_lose_nothing(children: Children, path: Path) -> None:
    running = {name: children.start("append", name, "40") for name in ("p", "q", "r")}
    for child in running.values():
        assert child.wait(120) == 0
    assert_whole(await read_all(path), dict.fromkeys(running, 40))


@pytest.mark.parametrize("acknowledged", [1, 7, 30])
async def test_a_killed_process_leaves_whole_calls_only(children: Children, path: Path, acknowledged: int) -> None:
    child = children.start("append", "k")
    assert child.stdout is not None
    for _ in range(acknowledged):
        child.stdout.readline()
    child.kill()
    assert child.wait(60) < 0
    heard = acknowledged + len(child.stdout.readlines())
    assert_whole(await read_all(path), {"k": heard})
    again = children.start("append", "second", "3")
    assert again.wait(60) == 0
    assert_whole(await read_all(path), {"k": heard, "second": 3})


async def test_a_killed_member_leaves_its_partitions_to_the_others(children: Children, path: Path) -> None:
    assert children.start("append", "a", "1").wait(60) == 0
    other = children.start("poll", "other")
    assert other.stdout is not None
    while other.stdout.readline().strip() != str(PARTITIONS):
        assert other.poll() is None
    clock = FastForwardClock()
    log = SqliteLog(path, clock, patience_s=30)
    consumer = await log.subscribe([TOPIC], group="g", member="mine")
    await polled(consumer, until=lambda _: len(consumer.assigned()) == PARTITIONS // 2)
    other.kill()
    other.wait(60)
    await consumer.poll(1, 0)
    assert len(consumer.assigned()) == PARTITIONS // 2, "its lease had not run out yet"
    clock.ahead_ms += round(LEASE_S * 1000)
    await polled(consumer, until=lambda _: len(consumer.assigned()) == PARTITIONS)
    await consumer.close()
    await log.close()
