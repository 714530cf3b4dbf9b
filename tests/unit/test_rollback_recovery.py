"""A device that went back has recovered when it does as well as the controls do over the same time, and else it is said why."""

from __future__ import annotations

import msgspec
import pytest

from ingest.contract.commands import Command
from ingest.contract.events import (
    AckStatus,
    Arm,
    DeviceChange,
    DeviceState,
    Evidence,
    EvidenceKind,
    Guard,
    GuardKind,
    RollbackPhase,
    Worse,
)
from ingest.contract.topics import EVIDENCE
from tests.gate_stage_world import CONFIG, SECOND, World
from tests.gate_world import OLD, Fleet, commands_in, plan_of
from tests.rollup_batches import Row

BLOCK_S = 60
BLOCK = BLOCK_S * SECOND
WINDOW = 10 * SECOND
CRASH = Guard(name="crash", kind=GuardKind.CRASH)
SILENCE = Guard(name="silence", kind=GuardKind.SILENCE)
SLOW = Guard(name="slow", kind=GuardKind.SOAK, metric="latency", margin=1.25)
TAIL = Guard(name="tail", kind=GuardKind.SOAK, metric="latency", quantile=0.9, margin=1.25)
ERRORS = Guard(name="errors", kind=GuardKind.COUNT, margin=0.3)


class Back(World):
    """A fleet whose release has failed; every canary is back on the previous release, and is looked at."""

    def __init__(self, *guards: Guard, sites: tuple[str, ...] = ("north",)) -> None:
        super().__init__(Fleet(sites))
        self.config = msgspec.structs.replace(CONFIG, recovery_s=float(BLOCK_S))
        self.stage = self.new_stage()
        installs = self.start(plan_of(guards=[CRASH, SILENCE, *guards]))
        self.install(installs)
        before = len(self.appended)
        for site in sites:
            mine = [command for command in installs if command.site == site]
            self.crash(mine)
        self.rollbacks = commands_in(self.appended[before:], self.key)
        rows = [row for row in self.of(EVIDENCE, Evidence) if row.kind is EvidenceKind.ENROLLED]
        self.controls = {(row.site, row.device) for row in rows if row.arm is Arm.CONTROL}
        self.finish(*self.rollbacks)

    def finish(self, *commands: Command) -> None:
        for command in commands:
            self.take(self.fleet.ack(command, AckStatus.DONE, self.now, OLD))

    def block(self) -> int:
        """The start of the first block that begins after everybody was done."""
        return (self.now // BLOCK + 1) * BLOCK

    def measure(self, start: int, levels: dict[tuple[str, str], float], **row: object) -> None:
        for site in self.fleet.names:
            rows = [
                Row(device=device, start=start, width=WINDOW, values=(level, level), **({"metric": "latency"} | row))  # type: ignore[arg-type]
                for (place, device), level in levels.items()
                if place == site
            ]
            if rows:
                self.take(self.fleet.measured(site, rows))

    def over_a_block(self, start: int, levels: dict[tuple[str, str], float], **row: object) -> None:
        """Everybody's windows of one block, and the first of the next one."""
        for at in range(start, start + BLOCK, WINDOW):
            self.measure(at, levels, **row)
        self.measure(start + BLOCK, levels, **row)

    def everybody(self, canary: float, control: float = 10.0) -> dict[tuple[str, str], float]:
        return {(c.site, c.device): canary for c in self.rollbacks} | dict.fromkeys(self.controls, control)


def names(world: Back) -> list[str]:
    return sorted(f"{command.site}/{command.device}" for command in world.rollbacks)


def test_whoever_does_as_well_as_the_worst_control_over_a_whole_block_has_recovered() -> None:
    world = Back(SLOW)
    start = world.block()
    world.measure(start, world.everybody(canary=12.0))
    assert set(world.status().recovering.values()) == {"watched for a while"}
    world.restart()
    world.over_a_block(start + BLOCK, world.everybody(canary=12.0))
    assert world.status().recovered == names(world)
    assert (world.status().phase, world.status().recovering) == (RollbackPhase.COMPLETE, {})
    assert world.status().uncompared == []


def test_whoever_does_worse_has_not_and_it_is_said_why_until_it_does() -> None:
    world = Back(SLOW)
    start = world.block()
    slow = (world.rollbacks[0].site, world.rollbacks[0].device)
    world.over_a_block(start, world.everybody(canary=10.0) | {slow: 14.0})
    status = world.status()
    assert status.recovering == {"/".join(slow): "latency 14, the controls' highest 10"}
    assert status.phase is RollbackPhase.COMMANDED
    assert len(status.recovered) == len(world.rollbacks) - 1
    world.over_a_block(start + BLOCK, world.everybody(canary=10.0))
    assert world.status().phase is RollbackPhase.COMPLETE


def test_the_controls_of_the_same_time_count_whatever_shook_everybody() -> None:
    world = Back(SLOW)
    world.over_a_block(world.block(), world.everybody(canary=500.0, control=450.0))
    assert world.status().recovered == names(world)


def test_quantiles_and_counts_are_compared_too() -> None:
    for guard, row, problem in (
        (TAIL, {"quantiles": True}, "latency:p90 30"),
        (ERRORS, {"metric": "errors", "growth": (9.0, 0)}, ""),
    ):
        world = Back(guard)
        world.over_a_block(world.block(), world.everybody(canary=30.0), **row)
        found = set(world.status().recovering.values())
        assert [text.startswith(problem) for text in found] == [True] * len(found)
        assert bool(found) is bool(problem)
    world = Back(ERRORS)
    start = world.block()
    for at in range(start, start + BLOCK + 1, WINDOW):
        world.measure(at, dict.fromkeys(world.controls, 1.0), metric="errors", growth=(0.0, 0))
        ours = dict.fromkeys(((c.site, c.device) for c in world.rollbacks), 1.0)
        for _ in range(2):
            world.measure(at, ours, metric="errors", growth=(2.0, 0))
    assert set(world.status().recovering.values()) == {"errors 12, the controls' highest 0"}


@pytest.mark.parametrize(
    ("worse", "problem"), [(Worse.LOWER, "lowest"), (Worse.DIFFERENT, "lowest"), (Worse.HIGHER, "")]
)
def test_what_is_worse_is_the_guards_to_say(worse: Worse, problem: str) -> None:
    world = Back(msgspec.structs.replace(SLOW, worse=worse))
    world.over_a_block(world.block(), world.everybody(canary=5.0))
    expected = {f"latency 5, the controls' {problem} 10"} if problem else set()
    assert set(world.status().recovering.values()) == expected


def test_more_reboots_than_any_control_had_are_no_recovery() -> None:
    world = Back()
    start, sick = world.block(), world.rollbacks[0]
    control = min(world.controls)
    for n in range(2):
        world.take(world.fleet.device("north", sick.device, start + n, DeviceChange.REBOOTED))
    world.take(world.fleet.device("north", control[1], start, DeviceChange.REBOOTED))
    world.over_a_block(start, world.everybody(canary=1.0))
    assert world.status().recovering == {f"north/{sick.device}": "2 reboots, the controls' most 1"}
    world.over_a_block(start + BLOCK, world.everybody(canary=1.0))
    assert world.status().recovered == names(world)


def test_a_site_is_compared_with_its_own_controls_and_only_without_any_with_others() -> None:
    world = Back(SLOW, sites=("north", "south"))
    start = world.block()
    levels = {place: 10.0 if place[0] == "north" else 40.0 for place in world.everybody(0.0)}
    fast = {place: level for place, level in levels.items() if place[0] == "north" or place not in world.controls}
    world.over_a_block(start, fast)
    problems = world.status().recovering
    assert {name.partition("/")[0] for name in problems} == {"south"}
    world.over_a_block(start + BLOCK, levels)
    assert world.status().phase is RollbackPhase.COMPLETE


def test_without_a_control_that_is_heard_it_is_said_that_nothing_was_compared() -> None:
    world = Back(SLOW)
    start = world.block()
    ours = {place: 10.0 for place in world.everybody(0.0) if place not in world.controls}
    world.over_a_block(start, ours)
    assert set(world.status().recovering.values()) == {"the controls' windows have not come yet"}
    world.over_a_block(start + BLOCK, ours)
    assert world.status().recovered == world.status().uncompared == names(world)


def test_a_device_that_returns_long_after_is_compared_from_then_on() -> None:
    world = Back(SLOW)
    late = world.rollbacks[0]
    world.take(world.fleet.device("north", late.device, world.now, DeviceChange.SILENT, state=DeviceState.SILENT))
    world.over_a_block(world.block(), {p: v for p, v in world.everybody(canary=10.0).items() if p[1] != late.device})
    world.pass_time(CONFIG.rollback_settle_s)
    assert world.status().phase is RollbackPhase.COMPLETE
    assert world.status().unreachable == [f"north/{late.device}"]
    world.pass_time(3600)
    world.take(world.fleet.device("north", late.device, world.now, DeviceChange.RETURNED, firmware=OLD))
    world.over_a_block(world.block(), world.everybody(canary=10.0) | {("north", late.device): 99.0})
    assert world.status().recovering == {f"north/{late.device}": "latency 99, the controls' highest 10"}
    world.over_a_block(world.block() + 2 * BLOCK, world.everybody(canary=10.0))
    assert world.status().recovered == names(world)
