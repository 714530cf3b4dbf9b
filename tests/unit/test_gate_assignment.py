"""The assignment for other systems: device lists, JSON, and hawkBit's target filter queries."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from analytics.rollouts.assignment import LONGEST_FILTER, assigned, hawkbit_filters
from compose.cli.main import tidegate
from ingest.contract.events import Arm, Evidence, EvidenceKind
from ingest.contract.topics import EVIDENCE, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from tests.gate_stage_world import World
from tests.gate_world import Fleet
from tests.unit.test_gate_stages import staged

if TYPE_CHECKING:
    from pathlib import Path

QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@given(st.lists(st.text('abc-_.:"\\é', min_size=1, max_size=300), max_size=40, unique=True))
def test_filters_name_exactly_the_devices_and_none_is_longer_than_hawkbit_takes(devices: list[str]) -> None:
    filters = hawkbit_filters(devices)
    assert all(len(one) <= LONGEST_FILTER for one in filters)
    assert all(re.fullmatch(r"controllerid=in=\(.+\)", one) for one in filters)
    named = [re.sub(r"\\(.)", r"\1", quoted) for one in filters for quoted in QUOTED.findall(one)]
    assert named == devices


def test_a_name_that_fits_no_filter_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a target filter"):
        hawkbit_filters(["x" * 2000])


def test_the_assignment_of_a_staged_rollout_is_what_its_devices_were_told(tmp_path: Path) -> None:
    world = World(Fleet(per_site=40))
    installs = world.start(staged())
    world.pass_time(110)
    config = tmp_path / "analytics.toml"
    config.write_text(f'[log]\nkind = "sqlite"\npath = "{tmp_path / "log.db"}"\n')
    assert asked(config).exit_code == 1

    async def keep() -> None:
        log = SqliteLog(tmp_path / "log.db", SystemClock())
        await log.ensure_topics(every_topic())
        await log.append([one for one in world.appended if one.topic == EVIDENCE])
        await log.close()

    asyncio.run(keep())
    whole = [json.loads(line) for line in asked(config, "--as", "json").output.splitlines()]
    assert len(whole) == 40
    canaries = [f"{one['site']}/{one['device']}" for one in whole if one["arm"] == "canary"]
    assert set(canaries) > {f"{command.site}/{command.device}" for command in installs}
    assert asked(config).output.splitlines() == canaries
    assert len(asked(config, "--arm", "control").output.splitlines()) == 20
    (query,) = asked(config, "--as", "hawkbit").output.splitlines()
    assert QUOTED.findall(query) == [name.removeprefix("north/") for name in canaries]
    assert {one["wave"] for one in whole} == {"", "2"}
    rows = [row for row in world.of(EVIDENCE, Evidence) if row.kind is EvidenceKind.ENROLLED]
    assert {(one["device"], one["since"]) for one in whole} <= {(row.device, row.at) for row in rows}


def test_who_left_is_in_no_arm() -> None:
    world = World()
    world.start()
    rows = world.of(EVIDENCE, Evidence)
    left = msgspec.structs.replace(rows[0], kind=EvidenceKind.CENSORED)
    found = assigned([*rows, left])
    assert len(found) == len(rows) - 1
    assert {one.arm for one in found} == {Arm.CANARY, Arm.CONTROL}


def asked(config: Path, *options: str):
    return CliRunner().invoke(tidegate, ["rollout", "assignment", str(config), "fw-2.3", *options])
