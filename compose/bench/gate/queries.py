"""Gate queries at an open loop: requests are sent when they are due, whatever the answers take; each is timed from when it was due."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil

from compose.bench.leaving import leave
from compose.bench.load import BenchFailedError
from compose.stack.ports import free_port
from dashboards.api.auth import NewToken, new_token
from ingest.contract.events import Guard, GuardKind, GuardVerdict, Outcome, RolloutPlan, Verdict
from ingest.contract.records import Outgoing, event_record
from ingest.contract.topics import PLANS, VERDICTS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TENANT = "bench"
CONNECTIONS = 64
_READY_S = 180.0
_CLOCK = SystemClock()


class QueryLoad(NamedTuple):
    """So many rollouts are known; `runs` times `seconds` at `rate` requests per second."""

    rollouts: int = 1000
    rate: float = 500.0
    seconds: float = 10.0
    runs: int = 5


class QueryFigures(NamedTuple):
    """The median over the runs of the 99th percentile (ms), and what a query costs the API (ms of CPU)."""

    p99_ms: float
    cpu_ms: float


async def measure(load: QueryLoad, folder: Path) -> QueryFigures:
    """Against a process of its own. Raises BenchFailedError, TimeoutError, OSError."""
    with tempfile.TemporaryDirectory(prefix="gate-", dir=folder) as name:
        place, token = Path(name), new_token()
        await _write(place, load.rollouts)
        port = free_port()
        async with _api(place, token, port) as process:
            await _until_known(port, token.token, load)
            before = _cpu_s(process)
            found = [await _run(port, token.token, load) for _ in range(load.runs)]
            spent = _cpu_s(process) - before
    asked = load.runs * round(load.rate * load.seconds)
    return QueryFigures(round(float(np.median(found)), 3), round(1000 * spent / asked, 3))


async def _run(port: int, token: str, load: QueryLoad) -> float:
    loop = asyncio.get_running_loop()
    idle: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(_Connection(port, token))
    begin, count = loop.time() + 0.1, round(load.rate * load.seconds)
    taken = np.zeros(count)

    async def ask(number: int, due: float) -> None:
        connection = await idle.get()
        await connection.get(f"/v1/gates/fw-{number * 7919 % load.rollouts}")
        taken[number] = loop.time() - due
        idle.put_nowait(connection)

    async with asyncio.TaskGroup() as asking:
        for number in range(count):
            due = begin + number / load.rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            asking.create_task(ask(number, due))
    while not idle.empty():
        idle.get_nowait().close()
    return float(np.percentile(taken, 99)) * 1000


class _Connection:
    # One request at a time over a connection that stays; one that the server has closed meanwhile is opened again.
    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f" HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> bytes:
        try:
            return await self._ask(path)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close()
            return await self._ask(path)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _ask(self, path: str) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path}{self._head}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchFailedError(f"{path}: {head.splitlines()[0].decode()} {body[:200].decode()}")
        return body


def _length(head: bytes) -> int:
    found = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(found[0].split(b":")[1]) if found else 0


async def _until_known(port: int, token: str, load: QueryLoad) -> None:
    connection = _Connection(port, token)
    async with asyncio.timeout(_READY_S):
        for number in range(load.rollouts):
            while True:
                try:
                    await connection.get(f"/v1/gates/fw-{number}")
                except (OSError, BenchFailedError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.05)
                else:
                    break
    connection.close()


@asynccontextmanager
async def _api(place: Path, token: NewToken, port: int) -> AsyncIterator[int]:
    (place / "api.toml").write_text(
        f'[api]\nport = {port}\n[[api.tokens]]\nname = "bench"\ntenant = "{TENANT}"\nsha256 = "{token.sha256}"\nscopes = ["gates"]\n'
        f'[log]\nkind = "sqlite"\npath = "{place}/log.db"\n[store]\nkind = "sqlite"\npath = "{place}/store.db"\n'
        f'[[gateways]]\ngateway = "g"\ntenant = "{TENANT}"\nsite = "s"\npublic_key = "{"A" * 43}="\n'
    )
    argv = [sys.executable, "-m", "compose.cli", "api", "run", str(place / "api.toml")]
    with (place / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(*argv, stdout=output, stderr=output, env=dict(os.environ))
    try:
        yield process.pid
    except (TimeoutError, BenchFailedError) as error:
        raise BenchFailedError(
            f"{error or 'no answer in time'}; the API said:\n{(place / 'output').read_text()[-2000:]}"
        ) from error
    finally:
        await leave(process)


async def _write(place: Path, rollouts: int) -> None:
    log = SqliteLog(place / "log.db", _CLOCK)
    await log.ensure_topics(every_topic())
    await log.append([record for number in range(rollouts) for record in _records(f"fw-{number}", number)])
    await log.close()


def _records(rollout: str, number: int) -> list[Outgoing]:
    now = _CLOCK.now_ms()
    guards = [Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE)]
    plan = RolloutPlan(
        rollout=rollout, tenant=TENANT, release="2", previous_release="1", release_digest="sha256:aa", previous_digest="sha256:bb",
        created=now, guards=guards,
    )  # fmt: skip
    said = [
        GuardVerdict(name=g.name, kind=g.kind, log10_e_harm=0.5, log10_e_safe=-0.5, events_canary=3, events_control=1)
        for g in guards
    ]
    outcome = list(Outcome)[number % 3]
    verdict = Verdict(
        rollout=rollout, tenant=TENANT, verdict=outcome, score=50.0, e_value=3.2, log10_e=0.5, alpha=0.05, n_canary=30, n_control=30,
        reason="3 first events among canaries, 1 among controls", at=now, since=now, guards=said, policy_hash="p", offsets={},
    )  # fmt: skip
    return [
        event_record(topic, rollout, event, event_id=f"{rollout}-{topic}", source="tidegate/bench", time=now)
        for topic, event in ((PLANS, plan), (VERDICTS, verdict))
    ]


def _cpu_s(process: int) -> float:
    spent = psutil.Process(process).cpu_times()
    return float(spent.user + spent.system)
