"""Detection as a process on the embedded log, killed again and again: it says what it would have said anyway."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.detect.stage import DetectStage
from ingest.contract.records import Outgoing, Record
from ingest.contract.topics import ANOMALIES, ROLLUPS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import Gateways
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.telemetry import Telemetry
from tests.central_process import DETECT_CONFIG, kill, start
from tests.detect_fleet import Fleet
from tests.rollup_batches import ORIGIN, T0
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEADLINE_S = 180.0
WINDOWS, DEVICES, KILLS = 100, 15, 3
GATEWAYS = [SignedGateway(ORIGIN._replace(site=f"site-{n}", gateway=f"gw-{n}")) for n in range(3)]


def _values(seed: int) -> NDArray[np.float64]:
    """Devices that leak until they reboot, one after another: there is always something to say."""
    values = np.random.default_rng(seed).normal(40, 0.3, (WINDOWS, DEVICES))
    for device in range(8):
        start = 30 + 7 * device
        values[start : start + 12, device] += 4.0 * np.arange(1, 1 + len(values[start : start + 12]))
    return values


def _records() -> list[Outgoing]:
    fleets = [Fleet(DEVICES).batches(_values(number)) for number in range(len(GATEWAYS))]
    return [
        gateway.sign(msgspec.structs.replace(batch, origin=gateway.origin))
        for window in zip(*fleets, strict=True)
        for gateway, batch in zip(GATEWAYS, window, strict=True)
    ]


def _expected(records: list[Record]) -> list[tuple[bytes, bytes | None]]:
    stage = DetectStage(DETECT_CONFIG, Gateways([gateway.config for gateway in GATEWAYS]), Telemetry("expected"))
    return [(event.key, event.value) for event in stage.step(records, T0).outgoing]


def _by_key(events: list[tuple[bytes, bytes | None]]) -> dict[bytes, list[bytes | None]]:
    # At least once: what was appended again just before a crash is dropped, as consumers do by its id.
    told: dict[bytes, list[bytes | None]] = {}
    for key, value in events:
        if value not in told.setdefault(key, []):
            told[key].append(value)
    return told


async def _all(log: SqliteLog, topic: str, wanted: int, process: subprocess.Popen[bytes] | None = None) -> list[Record]:
    found: dict[tuple[int, int], Record] = {}
    consumer = await log.subscribe([topic], group=None, member="reader")
    deadline = time.monotonic() + DEADLINE_S
    while len({record.value for record in found.values()}) < wanted and time.monotonic() < deadline:
        assert process is None or process.poll() is None
        found |= {(record.partition, record.offset): record for record in await consumer.poll(1000, 0.1)}
    await consumer.close()
    return [found[place] for place in sorted(found)]


async def test_killed_at_random_moments_it_says_the_same(tmp_path: Path) -> None:
    seed = random.randrange(10_000)
    print(f"seed {seed}")  # noqa: T201 - to play it again
    chance, records = random.Random(seed), _records()
    log = SqliteLog(tmp_path / "log.db", SystemClock())
    await log.ensure_topics(every_topic())
    (tmp_path / "gateways.json").write_bytes(msgspec.json.encode([gateway.config for gateway in GATEWAYS]))
    process = start("detect", tmp_path)
    try:
        for part in np.array_split(np.arange(len(records)), KILLS + 1):
            for at in np.array_split(part, 8):
                await log.append([records[index] for index in at])
                await asyncio.sleep(chance.uniform(0, 0.1))
            kill(process)
            process = start("detect", tmp_path)
        expected = _by_key(_expected(await _all(log, ROLLUPS, len(records))))
        events = await _all(log, ANOMALIES, sum(map(len, expected.values())), process)
        assert _by_key([(event.key, event.value) for event in events]) == expected
        assert len(expected) >= 8 * len(GATEWAYS) - 1
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        kill(process)
        await log.close()
