"""The log that everything goes through, the gateways' side of it, and the gate's process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from ingest.contract.records import Outgoing, Record, read_event
from ingest.contract.topics import COMMANDS
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key
from tests.gate_nurse import GateNurse
from tests.gate_world import Fleet, commands_in

if TYPE_CHECKING:
    from pathlib import Path


class Scene:
    """A folder with one site's fleet; a scene may go on in a copy of another's folder, with that one's fleet."""

    def __init__(self, folder: Path, *, fleet: Fleet | None = None, nurse: GateNurse | None = None) -> None:
        self.folder, self.clock = folder, SystemClock()
        self.fleet, self.nurse = fleet or Fleet(per_site=40), nurse or GateNurse()
        self.key = generate_private_key(folder / "gate.pem")
        (folder / "gateways.json").write_bytes(msgspec.json.encode(list(self.fleet.gateways)))
        self.log = SqliteLog(folder / "log.db", self.clock)
        self.kills = 0

    def start_gate(self, die_at: int = 0) -> None:
        self.nurse.start(self.folder, die_at)

    def kill_gate(self) -> None:
        self.nurse.kill()
        self.kills += 1

    async def close(self) -> None:
        self.nurse.close()
        await self.log.close()

    async def beat(self) -> None:
        while True:
            await self.log.append([self.fleet.beat("north", self.clock.now_ms())])
            await asyncio.sleep(0.03)

    async def all_of(self, topic: str) -> list[Record]:
        consumer = await self.log.subscribe((topic,), group=None, member="reader")
        records: list[Record] = []
        ends = await consumer.end_offsets()
        while sum(ends.values()) > len(records):
            records += await consumer.poll(1000, 0.2)
        await consumer.close()
        return records

    async def commands(self) -> list[Any]:
        return commands_in([_outgoing(r) for r in await self.all_of(COMMANDS)], self.key)

    async def newest(self, topic: str, kind: type) -> Any:
        record = (await self.log.read_compacted(topic)).get(b"fw-2.3")
        return read_event(record, kind) if record else None


def _outgoing(record: Record) -> Outgoing:
    return Outgoing(record.topic, record.key, record.value, record.headers)
