"""Detection as a consumer group: killed in the middle, split over two members, moved back; not a bit of what it says changes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from analytics.detect.stage import DetectStage
from ingest.contract.topics import ANOMALIES, ROLLUPS, every_topic
from ingest.runtime.gateways import Gateways
from ingest.runtime.log.kafka import KafkaConfig
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.telemetry import Telemetry
from tests.central_process import DETECT_CONFIG, kill
from tests.detect_fleet import Fleet
from tests.detect_member import Member, start
from tests.rollup_batches import ORIGIN, T0
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from ingest.contract.records import Outgoing, Record
    from ingest.runtime.log.port import Consumer, Log

DEADLINE_S = 180.0
WINDOWS, DEVICES, SITES, PARTS = 100, 12, 6, 5


def records(gateways: Sequence[SignedGateway]) -> list[Outgoing]:
    """Window by window, of all sites: devices leak until they reboot, one after another."""
    values = np.random.default_rng(7).normal(40, 0.3, (len(gateways), WINDOWS, DEVICES))
    for device in range(9):
        begins = 14 + 9 * device
        leak = values[:, begins : begins + 12, device]
        leak += 4.0 * np.arange(1, 1 + leak.shape[1])
    fleets = [Fleet(DEVICES).batches(of_site) for of_site in values]
    return [
        gateway.sign(msgspec.structs.replace(batch, origin=gateway.origin))
        for window in zip(*fleets, strict=True)
        for gateway, batch in zip(gateways, window, strict=True)
    ]


class Group:
    """The members' processes, what was said to them, and what they have said so far."""

    def __init__(self, log: Log, gateways: Sequence[SignedGateway], member: Member) -> None:
        self._log, self._gateways, self._member = log, gateways, member
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._said: dict[tuple[int, int], Record] = {}
        self._read: dict[tuple[int, int], Record] = {}

    async def start(self, *names: str) -> None:
        for name in names:
            self._running[name] = await asyncio.to_thread(start, msgspec.structs.replace(self._member, name=name))

    async def kill(self, *names: str) -> None:
        for name in names or list(self._running):
            await asyncio.to_thread(kill, self._running.pop(name))

    async def end(self, name: str) -> None:
        """In order."""
        process = self._running.pop(name)
        process.terminate()
        assert await asyncio.to_thread(process.wait, DEADLINE_S) == 0
        process.communicate()

    async def until_all_is_said(self) -> int:
        """All that the windows so far lead to, in the order in which they lead to it; nothing else. How many events."""
        await _gather(self._log, ROLLUPS, self._read)
        stage = DetectStage(DETECT_CONFIG, Gateways(self._member.gateways), Telemetry("expected"))
        taken = [self._read[place] for place in sorted(self._read)]
        expected = _by_key([(event.key, event.value) for event in stage.step(taken, T0).outgoing])
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await _gather(self._log, ANOMALIES, self._said)
                said = _by_key([(self._said[place].key, self._said[place].value) for place in sorted(self._said)])
                assert all(events == expected[key][: len(events)] for key, events in said.items())
                if said == expected:
                    return sum(map(len, expected.values()))
                await asyncio.sleep(0.2)


async def append(log: Log, windows: Sequence[Outgoing]) -> None:
    """However long the brokers take; what was appended twice is read twice by all."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await log.append(windows)
            except LogUnavailableError:
                await asyncio.sleep(0.5)


async def story(group: Group, log: Log, windows: Sequence[Outgoing]) -> None:
    parts = [windows[at[0] : at[-1] + 1] for at in np.array_split(np.arange(len(windows)), PARTS)]
    await group.start("first")
    await append(log, parts[0])
    begun = await group.until_all_is_said()
    await append(log, parts[1])
    await group.kill("first")  # in the middle
    await group.start("north", "south")
    await append(log, parts[2])
    split = await group.until_all_is_said()
    await group.end("north")
    await append(log, parts[3])
    await group.start("first")  # with a state of its own that is long out of date
    await group.until_all_is_said()
    await group.kill("south")
    await append(log, parts[4])
    assert 0 < begun < split < await group.until_all_is_said()
    await group.end("first")


async def play(member: Member, gateways: Sequence[SignedGateway]) -> None:
    log = member.log()
    await log.ensure_topics(every_topic())
    group = Group(log, gateways, member)
    try:
        await story(group, log, records(gateways))
    finally:
        await group.kill()
        await log.close()


@pytest.fixture
def gateways() -> list[SignedGateway]:
    return [SignedGateway(ORIGIN._replace(site=f"site-{n}", gateway=f"gw-{n}")) for n in range(SITES)]


async def test_on_the_embedded_log(tmp_path: Path, gateways: list[SignedGateway]) -> None:
    await play(Member(name="", folder=str(tmp_path), gateways=[one.config for one in gateways]), gateways)


@pytest.mark.servers
async def test_on_kafka(kafka_config: KafkaConfig, tmp_path: Path, gateways: list[SignedGateway]) -> None:
    known = [one.config for one in gateways]
    prefix = f"group-{os.urandom(4).hex()}."
    await play(Member(name="", folder=str(tmp_path), gateways=known, kafka=kafka_config, prefix=prefix), gateways)


async def _gather(log: Log, topic: str, found: dict[tuple[int, int], Record]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await _read(log, topic, found)
            except LogUnavailableError:
                await asyncio.sleep(0.5)


async def _read(log: Log, topic: str, found: dict[tuple[int, int], Record]) -> None:
    following: dict[int, int] = {}
    for partition, offset in sorted(found):
        following[partition] = offset + 1
    reader = await log.subscribe(
        [topic], group=None, member="reader", resume=lambda place: following.get(place.partition)
    )
    try:
        await _read_to_the_end(reader, following, found)
    finally:
        await reader.close()


async def _read_to_the_end(reader: Consumer, following: dict[int, int], found: dict[tuple[int, int], Record]) -> None:
    ends = await reader.end_offsets()
    while any(following.get(place.partition, 0) < end for place, end in ends.items()):
        for record in await reader.poll(1000, 0.1):
            found[record.partition, record.offset] = record
            following[record.partition] = record.offset + 1


def _by_key(events: Sequence[tuple[bytes, bytes | None]]) -> dict[bytes, list[bytes | None]]:
    # At least once: what is said again has an equal value, and consumers drop it by its id.
    told: dict[bytes, list[bytes | None]] = {}
    for key, value in events:
        if value not in told.setdefault(key, []):
            told[key].append(value)
    return told
