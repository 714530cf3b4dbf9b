"""The gate's process is killed again and again, at random moments: nobody is told twice, nobody is forgotten."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any

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
from ingest.contract.topics import EVIDENCE, ROLLBACKS, VERDICTS, every_topic
from tests.gate_scene import Scene
from tests.gate_world import NEW, OLD, plan_of, plan_record

DEADLINE_S = 120.0
KILLS = 12


class Killing(Scene):
    """Kills at random moments."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder)
        self.chance = random.Random(seed)

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


async def decided_and_commanded(scene: Killing) -> None:
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


async def _has_commands(scene: Killing, count: int) -> bool:
    return len({c.command for c in await scene.commands()}) >= count


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_any_moment_every_canary_gets_one_rollback_and_the_account_goes_on(
    tmp_path: Path, seed: int
) -> None:
    scene = Killing(tmp_path, seed)
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
        scene.nurse.stop()
        assert len({c.command for c in await scene.commands()}) == 40
        assert scene.kills > 0
        await check_replay(scene)
    finally:
        beating.cancel()
        await scene.close()


async def complete(scene: Killing, back: list[Any]) -> None:
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


async def check_replay(scene: Killing) -> None:
    verdict = await scene.newest(VERDICTS, Verdict)
    assert verdict.verdict is Outcome.FAIL
    evidence = recorded_evidence("fw-2.3", await scene.all_of(EVIDENCE))
    assert differences(verdict, reproduce(plan_of(), evidence, verdict)) == {}
