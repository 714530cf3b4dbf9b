"""What a gate's process meets instead of an owner: passes requests on, and strikes the process dead at one of them."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from analytics.rollback.attempts import OWNERS
from analytics.rollback.orders import ORDER_SETTINGS, ORDERS
from analytics.rollback.owners.owner import Request
from analytics.rollback.webhook import CALL_SETTINGS, CALLS
from ingest.contract.topics import DEAD_SETTINGS, dead, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key, write_secret
from tests.gate_world import Fleet
from tests.receivers import Answer, Receiver
from tests.receivers import Request as Asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ingest.contract.records import Outgoing
    from tests.gate_nurse import GateNurse
    from tests.owner_server import Server

DEADLINE_S = 200.0
LOST, ARRIVED = False, True
TOPICS = {ORDERS: ORDER_SETTINGS, dead(ORDERS): DEAD_SETTINGS, CALLS: CALL_SETTINGS, dead(CALLS): DEAD_SETTINGS}


class Front:
    """Counts requests; the `strike_at`-th is the process's last, and was passed on or not."""

    def __init__(
        self, handle: Callable[[Asked], Answer], nurse: GateNurse, strike_at: int = 0, *, arrived: bool = ARRIVED
    ) -> None:
        self._handle, self._nurse, self._strike_at, self._arrived = handle, nurse, strike_at, arrived
        self.count = 0

    def __call__(self, asked: Asked) -> Answer:
        self.count += 1
        if self.count != self._strike_at:
            return self._handle(asked)
        if self._arrived:
            self._handle(asked)
        self._nurse.strike()
        return Answer(how="hang_up")


def standing_in(server: Server) -> Callable[[Asked], Answer]:
    """Over HTTP what the stand-in answers."""

    def handle(asked: Asked) -> Answer:
        kind = asked.headers.get("content-type", "application/json")
        body = msgspec.json.decode(asked.body) if asked.body else None
        found = server.handle(Request(method=asked.method, path=asked.path, body=body, content_type=kind))
        return Answer(found.status, {}, b"" if found.body is None else msgspec.json.encode(found.body))

    return handle


def kind_of(server: Server) -> str:
    """How a configuration names this owner."""
    return next(kind for kind, owner in OWNERS.items() if type(owner) is type(server.owner))


async def folder_with(folder: Path, waiting: Outgoing, shown: str = "secret") -> Path:
    """What a gate starts with: its key, an owner's secret, and one record that waits for delivery."""
    await asyncio.to_thread(folder.mkdir)
    generate_private_key(folder / "gate.pem")
    write_secret(folder / "secret", shown.encode())
    (folder / "gateways.json").write_bytes(msgspec.json.encode(list(Fleet().gateways)))
    log = SqliteLog(folder / "log.db", SystemClock())
    await log.ensure_topics(every_topic() | TOPICS)
    await log.append([waiting])
    await log.close()
    return folder


class Deliveries:
    """Gates that deliver what waits in `first`, one after the other, each in a copy of it."""

    def __init__(self, first: Path, nurse: GateNurse) -> None:
        self._first, self._nurse = first, nurse

    async def in_one_life(
        self, settings: Callable[[str], dict[str, Any]], handle: Callable[[Asked], Answer], done: Callable[[], bool]
    ) -> int:
        """How many requests it takes when nothing happens."""
        front = Front(handle, self._nurse)
        async with self._at_work(front, settings):
            await until(done)
            await self._nurse.stopped()
        return front.count

    async def in_two_lives(
        self, settings: Callable[[str], dict[str, Any]], front: Front, done: Callable[[], bool]
    ) -> None:
        """Struck dead at the front's request, then begun anew until it is done and that life has looked."""
        async with self._at_work(front, settings) as folder:
            await self._nurse.died()
            before = front.count
            self._nurse.start(folder)
            await until(lambda: front.count > before and done())
            await self._nurse.stopped()

    @asynccontextmanager
    async def _at_work(self, front: Front, settings: Callable[[str], dict[str, Any]]) -> AsyncIterator[Path]:
        folder = self._first.with_name("copy")
        shutil.copytree(self._first, folder)
        try:
            async with Receiver(front) as receiver:
                (folder / "gate.json").write_bytes(msgspec.json.encode(settings(receiver.url)))
                self._nurse.start(folder)
                yield folder
        finally:
            if self._nurse.gate:
                self._nurse.kill()
            shutil.rmtree(folder)


async def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
