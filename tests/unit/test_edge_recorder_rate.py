"""Answers with raw samples leave at the configured rate of bytes, and each one is a line of the audit."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.recorder.recorder import Recorder
from edge_aggregator.thread import OneThread
from ingest.contract.commands import key_id
from ingest.contract.events import PullEvent
from ingest.contract.records import Record, read_event
from ingest.contract.topics import PULLS
from ingest.runtime.clock import ManualClock
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import T0, Bench, edge_config, telemetry
from tests.mqtt_intake import until
from tests.recorder_material import asked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from ingest.contract.records import Outgoing

CENTRE = Ed25519PrivateKey.generate()
NAME = key_id(CENTRE.public_key())


class World(ManualClock):
    """A log that takes everything at once, and a clock on which nothing but waiting takes time."""

    def __init__(self) -> None:
        super().__init__(T0)
        self.appended: list[tuple[float, int]] = []
        self.requests = 0

    async def append(self, records: Sequence[Outgoing]) -> None:
        self.appended += [(self.monotonic(), len(record.value or b"")) for record in records]

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def asked(self, name: str) -> Record:
        sent = asked(CENTRE, request=name)
        self.requests += 1
        return Record(sent.topic, 0, self.requests, sent.key, sent.value, sent.headers, T0)


async def answered(bench: Bench, world: World, bytes_per_s: int, names: Sequence[str]) -> None:
    thread, log, port = OneThread("test"), world, Telemetry("test")
    recorder = Recorder(
        bench.core,
        thread,
        log,  # type: ignore[arg-type]  # of which only `append` is asked for
        CENTRE,
        NAME,
        bytes_per_s=bytes_per_s,
        most_samples=1 << 20,
        clock=world,
        telemetry=port,
        changed=lambda: None,
    )
    await recorder.take([world.asked(name) for name in names], T0)
    running = asyncio.create_task(recorder.run())

    def all_answered() -> bool:
        return port.registry.get_sample_value("tidegate_edge_sample_requests_total", {"outcome": "answered"}) == len(
            names
        )

    await until(all_answered)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    thread.close()


def audit(bench: Bench) -> list[PullEvent]:
    events: list[Any] = [
        read_event(Record(one.record.topic, 0, 0, one.record.key, one.record.value, one.record.headers, T0), PullEvent)
        for one in bench.waiting()
        if one.record.topic == PULLS
    ]
    return events


@pytest.mark.parametrize("bytes_per_s", [1000, 50_000])
async def test_answers_keep_the_rate_and_are_written_down(tmp_path: Path, bytes_per_s: int) -> None:
    bench, world = Bench(edge_config(tmp_path), {NAME: CENTRE.public_key()}), World()
    for minute in range(30):
        numbers = {f"m{metric}": minute + metric / 7 for metric in range(50)}
        bench.take([telemetry("d", {"ts": T0 + minute * 60_000, "metrics": numbers})], T0 + minute * 60_000)
    await answered(bench, world, bytes_per_s, ["r1", "r2", "r3"])
    assert len(world.appended) >= 3
    for (at, size), (after, _) in zip(world.appended, world.appended[1:], strict=False):
        assert after - at >= size / bytes_per_s - 0.002  # the clock has whole milliseconds
    sent = sum(size for _, size in world.appended)
    assert world.monotonic() >= sent / bytes_per_s - 0.002 * len(world.appended)
    told = audit(bench)
    assert [(event.request, event.outcome, event.samples) for event in told] == [
        (name, "answered", 1500) for name in ("r1", "r2", "r3")
    ]
    assert sum(event.bytes for event in told) == sent
    bench.close()
