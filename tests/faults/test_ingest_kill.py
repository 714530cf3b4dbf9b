"""The door's process is killed again and again, at random moments: the store and the accounts end as if it never was."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from ingest.contract.events import AccountEvent
from ingest.contract.records import Outgoing, read_event
from ingest.contract.topics import ACCOUNTS, every_topic
from ingest.door.config import IngestConfig
from ingest.door.service import build_ingest
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.service import run_process
from ingest.runtime.store.port import SeriesQuery
from ingest.runtime.store.sqlite import SqliteStore
from ingest.runtime.telemetry import Telemetry
from tests.rollup_batches import ORIGIN
from tests.tiling_edge import TilingEdge, Window

DEADLINE_S = 120.0
SITES = 3
BATCHES = 40
KILLS = 12
LONGEST_LIFE_S = 0.25


async def test_a_door_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("TIDEGATE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    sys.stdout.write(f"TIDEGATE_SEED={seed}\n")
    chance = random.Random(seed)
    edges = [edge_of(site, chance) for site in range(SITES)]
    log, store = SqliteLog(tmp_path / "log.db", SystemClock()), SqliteStore(tmp_path / "store.db")
    await log.ensure_topics(every_topic())
    nurse = Nurse(tmp_path, [edge.gateway.config for edge in edges])
    try:
        for chunk in chunks(shuffled(edges, chance), KILLS):
            await log.append(chunk)
            nurse.start()
            await asyncio.sleep(chance.uniform(0, LONGEST_LIFE_S))
            nurse.kill()
        nurse.start()
        await until_complete(log)
        nurse.stop()
        for edge in edges:
            assert await windows(store, edge) == edge.states[-1]
    finally:
        nurse.close()
        await log.close()
        await store.close()


def edge_of(site: int, chance: random.Random) -> TilingEdge:
    edge = TilingEdge(ORIGIN._replace(site=f"site-{site}", gateway=f"gw-{site}"))
    while len(edge.sent) < BATCHES:
        edge.change_somehow(chance)
    return edge


def shuffled(edges: list[TilingEdge], chance: random.Random) -> list[Outgoing]:
    """All batches, some of them twice, with something forged in between, in any order."""
    sent = [record for edge in edges for record in edge.sent]
    forged = [edge.gateway.sign_value(b"forged") for edge in edges]
    everything = sent + chance.sample(sent, len(sent) // 4) + forged
    chance.shuffle(everything)
    return everything


def chunks(records: list[Outgoing], count: int) -> list[list[Outgoing]]:
    return [records[start::count] for start in range(count)]


async def until_complete(log: SqliteLog) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while sum(map(complete, found := await accounts(log))) < SITES:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


def complete(account: AccountEvent) -> bool:
    if account.received_seqs != [(1, BATCHES)]:
        return False
    assert (account.finding, account.batches) == ("balanced", BATCHES)
    assert account.stored == account.rolled_up == account.received
    assert account.revisions == {}
    return account.duplicate_batches <= BATCHES


async def accounts(log: SqliteLog) -> list[AccountEvent]:
    found = [read_event(record, AccountEvent) for record in (await log.read_compacted(ACCOUNTS)).values()]
    return [account for account in found if account is not None]


async def windows(store: SqliteStore, edge: TilingEdge) -> dict[Window, tuple[int, int]]:
    (series,) = await store.read(SeriesQuery(tenant=ORIGIN.tenant, site=edge.gateway.origin.site))
    columns = (series.start, series.width, series.count, series.revision)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {Window(start, width): (count, revision) for start, width, count, revision in rows}


class Nurse:
    """A process that has everything imported and forks doors from itself, so that each life begins at once."""

    def __init__(self, folder: Path, gateways: list[GatewayConfig]) -> None:
        (folder / "gateways.json").write_bytes(msgspec.json.encode(gateways))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.test_ingest_kill", str(folder)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._door = 0

    def start(self) -> None:
        self._door = self._ask("start")

    def kill(self) -> None:
        os.kill(self._door, signal.SIGKILL)
        assert os.WTERMSIG(self._ask("wait")) == signal.SIGKILL
        self._door = 0

    def stop(self) -> None:
        os.kill(self._door, signal.SIGTERM)
        self._door = 0
        assert os.waitstatus_to_exitcode(self._ask("wait")) == 0

    def close(self) -> None:
        if self._door:
            self.kill()
        self._process.communicate()

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def nurse(folder: Path) -> None:
    """Answers `start` with the process id of a new door, `wait` with the status of the one that ended."""
    # A door that is told to stop before it listens for that shall hear it later, not end by it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for line in sys.stdin:
        if line == "start\n":
            door = os.fork()
            if not door:
                asyncio.run(run_door(folder))
                os._exit(0)
            answer = door
        else:
            answer = os.wait()[1]
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


async def run_door(folder: Path) -> None:
    clock = SystemClock()
    log, store = SqliteLog(folder / "log.db", clock), SqliteStore(folder / "store.db")
    gateways = msgspec.json.decode((folder / "gateways.json").read_bytes(), type=list[GatewayConfig])
    door = build_ingest(
        IngestConfig(max_records=10, poll_s=0.02),
        Gateways(gateways),
        clock=clock,
        log=log,
        store=store,
        health=Health(),
        telemetry=Telemetry("door"),
    )
    asyncio.get_running_loop().call_soon(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGTERM})
    await run_process([door])
    await store.close()
    await log.close()


if __name__ == "__main__":
    nurse(Path(sys.argv[1]))
