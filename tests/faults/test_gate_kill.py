"""The gate's process is killed again and again, at random moments: nobody is told twice, nobody is forgotten."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics.rollouts.replay import differences, recorded_evidence, reproduce
from ingest.contract.events import (
    AckStatus,
    DeviceChange,
    Outcome,
    RollbackPhase,
    RollbackStatus,
    Verdict,
)
from ingest.contract.records import Outgoing, Record, read_event
from ingest.contract.topics import COMMANDS, EVIDENCE, ROLLBACKS, VERDICTS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key
from tests.gate_world import NEW, OLD, Fleet, commands_in, plan_of, plan_record

DEADLINE_S = 120.0
KILLS = 12


class Scene:
    """The log that everything goes through, the gateways' side of it, and the gate's process."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance, self.clock = folder, random.Random(seed), SystemClock()
        self.fleet, self.key = Fleet(per_site=40), generate_private_key(folder / "gate.pem")
        (folder / "gateways.json").write_bytes(msgspec.json.encode(list(self.fleet.gateways)))
        self.log = SqliteLog(folder / "log.db", self.clock)
        self.nurse = subprocess.Popen(
            [sys.executable, "-m", "tests.gate_process", str(folder)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.gate = 0
        self.kills = 0

    def start_gate(self) -> None:
        self.gate = self._ask("start")

    def kill_gate(self) -> None:
        os.kill(self.gate, signal.SIGKILL)
        assert os.WTERMSIG(self._ask("wait")) == signal.SIGKILL
        self.kills += 1

    def stop_gate(self) -> None:
        os.kill(self.gate, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(self._ask("wait")) == 0
        self.gate = 0

    async def close(self) -> None:
        if self.gate:
            self.kill_gate()
        self.nurse.communicate()
        await self.log.close()

    def _ask(self, line: str) -> int:
        assert self.nurse.stdin is not None
        assert self.nurse.stdout is not None
        self.nurse.stdin.write(line + "\n")
        self.nurse.stdin.flush()
        return int(self.nurse.stdout.readline())

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

    async def killing_until(self, reached: Any) -> None:
        """Kill the gate at random moments until `reached()`; after enough kills let it live."""
        deadline = time.monotonic() + DEADLINE_S
        while not await reached():
            assert time.monotonic() < deadline
            # Ever longer lives: the first are cut while it starts, later ones while it decides and commands.
            lives_until = time.monotonic() + self.chance.uniform(0.02, 0.05 * (2 + self.kills))
            while not await reached() and (time.monotonic() < lives_until or self.kills >= KILLS):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            if self.kills < KILLS:
                self.kill_gate()
                self.start_gate()


def _outgoing(record: Record) -> Outgoing:
    return Outgoing(record.topic, record.key, record.value, record.headers)


async def decided_and_commanded(scene: Scene) -> None:
    await scene.log.append(scene.fleet.everyone(scene.clock.now_ms()))
    await scene.log.append([plan_record(plan_of())])
    await scene.killing_until(lambda: _has_commands(scene, 20))
    installs = await scene.commands()
    now = scene.clock.now_ms()
    sys.stdout.write(f"killed {scene.kills} times until everybody was told to install\n")
    scene.kills = 0
    await scene.log.append(
        [
            scene.fleet.device("north", name, now + n, DeviceChange.REBOOTED, firmware=NEW)
            for n, name in enumerate(sorted({c.device for c in installs}))
        ]
    )
    await scene.killing_until(lambda: _has_commands(scene, 40))
    sys.stdout.write(f"killed {scene.kills} times until everybody was told to go back\n")


async def _has_commands(scene: Scene, count: int) -> bool:
    return len({c.command for c in await scene.commands()}) >= count


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_any_moment_every_canary_gets_one_rollback_and_the_account_goes_on(
    tmp_path: Path, seed: int
) -> None:
    scene = Scene(tmp_path, seed)
    await scene.log.ensure_topics(every_topic())
    scene.start_gate()
    beating = asyncio.create_task(scene.beat())
    try:
        await decided_and_commanded(scene)
        commands = await scene.commands()
        back = {c.command: c for c in commands if c.version == OLD}
        installs = {c.command: c for c in commands if c.version == NEW}
        # What was appended twice is the same command under the same counter: devices take it once.
        assert len({(c.command, c.counter) for c in commands}) == len(back) + len(installs) == 40
        assert {c.device for c in back.values()} == {c.device for c in installs.values()}
        await complete(scene, list(back.values()))
        scene.stop_gate()
        assert len({c.command for c in await scene.commands()}) == 40
        assert scene.kills > 0
        await check_replay(scene)
    finally:
        beating.cancel()
        await scene.close()


async def complete(scene: Scene, back: list[Any]) -> None:
    now = scene.clock.now_ms()
    for command in back:
        await scene.log.append([scene.fleet.ack(command, AckStatus.DONE, now, OLD)])
    devices = [command.device for command in back]
    scene.kill_gate()
    scene.start_gate()
    deadline = time.monotonic() + DEADLINE_S
    while True:
        status = await scene.newest(ROLLBACKS, RollbackStatus)
        if status is not None and status.phase is RollbackPhase.COMPLETE:
            break
        assert time.monotonic() < deadline, status
        await scene.log.append([scene.fleet.windows("north", devices, scene.clock.now_ms())])
        await asyncio.sleep(0.1)
    assert len(status.recovered) == 20


async def check_replay(scene: Scene) -> None:
    verdict = await scene.newest(VERDICTS, Verdict)
    assert verdict.verdict is Outcome.FAIL
    evidence = recorded_evidence("fw-2.3", await scene.all_of(EVIDENCE))
    assert differences(verdict, reproduce(plan_of(), evidence, verdict)) == {}
