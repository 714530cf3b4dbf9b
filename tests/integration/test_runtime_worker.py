"""The shell around every central worker: nothing is processed twice, nothing that follows from it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ingest.contract.records import TRACE_HEADER, Outgoing, Record
from ingest.contract.topics import TopicSettings
from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.telemetry import Telemetry
from ingest.runtime.worker import Stage, StageWorker, StepResult

TOPICS = {name: TopicSettings(2, compacted=False, retention_ms=3_600_000) for name in ("in", "out")}
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Summing:
    """Adds up numbers and reports each sum."""

    name = "summing"
    topics = ("in",)

    def __init__(self) -> None:
        self.sum = 0

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        outgoing = []
        for record in records:
            self.sum += int(record.value or b"0")
            trace = record.header(TRACE_HEADER)
            outgoing.append(Outgoing("out", b"k", b"%d" % self.sum, ((TRACE_HEADER, trace),) if trace else ()))
        return StepResult(outgoing)

    def snapshot(self) -> Mapping[str, bytes]:
        return {"sum": b"%d" % self.sum}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        self.sum = int(parts.get("sum", b"0"))


class Flaky:
    """A log whose appends fail so many times."""

    def __init__(self, log: SqliteLog, failures: int) -> None:
        self._log, self.failures = log, failures

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def append(self, records: Sequence[Outgoing]) -> None:
        if self.failures:
            self.failures -= 1
            raise LogUnavailableError("away")
        await self._log.append(records)


def worker(
    log: object, folder: Path, health: Health | None = None, *, stage: Stage | None = None, tick_s: float = 0.05
) -> StageWorker:
    return StageWorker(
        stage or Summing(),
        log=log,
        checkpoint=Checkpoint(folder / "summing.db"),
        clock=SystemClock(),
        health=health or Health(),
        telemetry=Telemetry("test"),
        group="g",
        member="m",
        tick_s=tick_s,
    )


async def outputs(log: SqliteLog, expected: int) -> list[Record]:
    consumer = await log.subscribe(["out"], group=None, member="reader")
    found: list[Record] = []
    async with asyncio.timeout(90):
        while len(found) < expected:
            found += await consumer.poll(1000, 0.1)
    await consumer.close()
    return found


@pytest.fixture
async def log(tmp_path: Path):
    opened = SqliteLog(tmp_path / "log.db", SystemClock())
    await opened.ensure_topics(TOPICS)
    yield opened
    await opened.close()


async def feed(log: SqliteLog, numbers: Sequence[int], headers: tuple[tuple[str, bytes], ...] = ()) -> None:
    await log.append([Outgoing("in", b"%d" % n, b"%d" % n, headers) for n in numbers])


def queued(file: Path) -> list[Outgoing]:
    """What the file of a worker, perhaps another process's, says is still to be appended."""
    checkpoint = Checkpoint(file)
    try:
        return checkpoint.unsent().records
    finally:
        checkpoint.close()


async def run_until_output(running: StageWorker, log: SqliteLog, expected: int) -> list[Record]:
    task = asyncio.create_task(running.run())
    found = await outputs(log, expected)
    running.drain()
    await task
    return found


async def test_a_restart_continues_from_the_saved_state(log: SqliteLog, tmp_path: Path) -> None:
    await feed(log, [1, 2, 3])
    assert len(await run_until_output(worker(log, tmp_path), log, 3)) == 3
    await feed(log, [4])
    found = await run_until_output(worker(log, tmp_path), log, 4)
    assert found[-1].value == b"10"
    assert len(found) == 4


async def test_a_crash_after_the_save_appends_what_was_queued(log: SqliteLog, tmp_path: Path) -> None:
    await feed(log, [5])
    crashed = asyncio.create_task(worker(Flaky(log, 10**9), tmp_path).run())
    async with asyncio.timeout(90):
        while not queued(tmp_path / "summing.db"):  # noqa: ASYNC110 - another worker's file has no event to wait for
            await asyncio.sleep(0.02)
    crashed.cancel()
    found = await run_until_output(worker(log, tmp_path), log, 1)
    assert [record.value for record in found] == [b"5"]


async def test_a_log_that_is_away_is_waited_for_and_said(log: SqliteLog, tmp_path: Path) -> None:
    health, flaky = Health(), Flaky(log, 3)
    await feed(log, [1, 1])
    running = worker(flaky, tmp_path, health)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(90):
        while "summing" not in health.reasons() and flaky.failures:  # noqa: ASYNC110 - health is looked at, not awaited
            await asyncio.sleep(0.005)
    assert {record.value for record in await outputs(log, 2)} == {b"1", b"2"}
    running.drain()
    await task
    assert health.reasons() == {}


async def test_the_trace_goes_on_with_a_span_of_its_own(log: SqliteLog, tmp_path: Path) -> None:
    await feed(log, [1], ((TRACE_HEADER, TRACE),))
    found = await run_until_output(worker(log, tmp_path), log, 1)
    trace = found[0].header(TRACE_HEADER)
    assert trace is not None
    assert trace.split(b"-")[1] == TRACE.split(b"-")[1]
    assert trace.split(b"-")[2] != TRACE.split(b"-")[2]


class Counting(Summing):
    """Has more to do at once, three times."""

    steps = 0

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        self.steps += 1
        return StepResult([Outgoing("out", b"k", b"%d" % self.steps)], more=self.steps < 4)


async def test_a_step_that_has_more_to_do_is_followed_by_the_next_one_without_a_wait(
    log: SqliteLog, tmp_path: Path
) -> None:
    running = worker(log, tmp_path, stage=Counting(), tick_s=3600.0)
    task = asyncio.create_task(running.run())
    await feed(log, [1])
    found = await outputs(log, 4)
    assert [record.value for record in found] == [b"1", b"2", b"3", b"4"]
    running.drain()
    await feed(log, [1])
    await task
