"""The gate's process ends by SIGKILL between any two calls that leave something behind, and starts anew: nobody twice, nobody forgotten.

Each case begins in a copy of one folder, at the moment before the gate decides. It dies before its first such call, its second, and
so on until every command was in the log some calls ago; then another life goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.contract.events import DeviceChange
from ingest.contract.topics import every_topic
from tests.gate_nurse import GateNurse
from tests.gate_scene import Scene
from tests.gate_world import NEW, OLD, Fleet, plan_of, plan_record

DEADLINE_S = 200.0
CANARIES = 20
BEYOND = 3
"""How many calls after the last command the process still dies."""

PLAN = plan_of(command_expiry_s=86_400.0)
SETTINGS = {"rollback_wave": 7, "rollback_wave_s": 0.05}
"""A rollback goes down in three waves, so that it has more moments at which to die."""


@pytest.fixture(scope="module")
def nurse() -> Iterator[GateNurse]:
    found = GateNurse()
    yield found
    found.close()


@asynccontextmanager
async def scene_in(folder: Path, nurse: GateNurse, fleet: Fleet) -> AsyncIterator[Scene]:
    """A scene whose gateway goes on beating."""
    scene = Scene(folder, fleet=fleet, nurse=nurse)
    beating = asyncio.create_task(scene.beat())
    try:
        yield scene
    finally:
        beating.cancel()
        if nurse.gate:
            nurse.kill()
        await scene.log.close()


async def until_commanded(scene: Scene, number: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while len(named(await scene.commands())) < number:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def named(commands: list[Any]) -> set[str]:
    return {command.command for command in commands}


async def about_to_install(folder: Path, nurse: GateNurse, fleet: Fleet) -> int:
    """The plan has come in and nobody has seen it; how many commands there will be."""
    async with scene_in(folder, nurse, fleet) as scene:
        (folder / "gate.json").write_bytes(msgspec.json.encode(SETTINGS))
        await scene.log.ensure_topics(every_topic())
        await scene.log.append(scene.fleet.everyone(scene.clock.now_ms()))
        await scene.log.append([plan_record(PLAN)])
    return CANARIES


async def about_to_roll_back(folder: Path, nurse: GateNurse, fleet: Fleet) -> int:
    """All canaries have crashed and nobody has seen it; how many commands there will be."""
    await about_to_install(folder, nurse, fleet)
    async with scene_in(folder, nurse, fleet) as scene:
        scene.start_gate()
        await until_commanded(scene, CANARIES)
        await nurse.stopped()
        now, installs = scene.clock.now_ms(), await scene.commands()
        crashed = [
            scene.fleet.device("north", name, now + n, DeviceChange.REBOOTED, firmware=NEW)
            for n, name in enumerate(sorted({command.device for command in installs}))
        ]
        await scene.log.append(crashed)
    return 2 * CANARIES


@pytest.mark.parametrize("moment", [about_to_install, about_to_roll_back])
async def test_an_end_between_any_two_calls_is_followed_by_one_command_for_everybody(
    moment: Any, tmp_path: Path, nurse: GateNurse
) -> None:
    fleet = Fleet(per_site=40)
    (first := tmp_path / "0").mkdir()
    wanted = await moment(first, nurse, fleet)
    late = 0
    for die_at in itertools.count(1):
        shutil.copytree(first, tmp_path / f"{die_at}")
        async with scene_in(tmp_path / f"{die_at}", nurse, fleet) as scene:
            scene.start_gate(die_at)
            await nurse.died()
            late += len(named(await scene.commands())) == wanted
            scene.start_gate()
            await until_commanded(scene, wanted)
            await nurse.stopped()
            check(await scene.commands(), wanted)
        shutil.rmtree(tmp_path / f"{die_at}")
        if late == BEYOND:
            break
    sys.stdout.write(f"died at each of {die_at} calls\n")
    assert die_at > 2 * BEYOND


def check(commands: list[Any], wanted: int) -> None:
    # What was appended twice is the same command under the same counter: devices take it once.
    assert len({(command.command, command.counter) for command in commands}) == wanted
    for version, number in ((NEW, CANARIES), (OLD, wanted - CANARIES)):
        told = {(command.device, command.command) for command in commands if command.version == version}
        assert len({device for device, _ in told}) == len(told) == number
