"""The demo waits as long as something moves, does not blame an overloaded machine, and gives up all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from compose.demo.acts import LOOK_S, MOST_S, MissingStepError, Patience, Stage
from compose.demo.observation import Account, Observation
from ingest.runtime.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = Account(received=0, rolled_up=0, duplicate=0, rejected=0, dropped=0, open=0, waiting=0)
EMPTY = Observation(
    devices=[],
    sites=[],
    alerts=[],
    gate={},
    rollback={},
    account=NOTHING,
    fired=frozenset(),
    resolved=frozenset(),
)


class Running(ManualClock):
    """Waiting takes as long as it says, and no longer in reality."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class Machine:
    """Observations that are a function of the time; each look takes `look_s`."""

    def __init__(self, at: Callable[[float], Observation], look_s: float = 0.0) -> None:
        self.clock, self.looks, self._at, self._look_s = Running(), 0, at, look_s

    async def look(self) -> Observation:
        self.looks += 1
        self.clock.advance(self._look_s)
        return self._at(self.clock.monotonic())


def with_open(samples: float) -> Observation:
    return replace(EMPTY, account=replace(NOTHING, open=max(0, int(samples))))


async def waited(machine: Machine, within_s: float = 30.0, **options: Any) -> float:
    """Seconds until every window is closed."""
    stage = Stage(machine.look, machine.clock)
    await stage.until("all is closed", lambda seen: seen.account.open == 0, within_s, **options)
    return stage.seconds()


def counts(seen: Observation) -> object:
    return seen.account.counts()


async def test_as_long_as_something_moves_it_is_waited_for() -> None:
    slow = Machine(lambda at: with_open(10 - at / 10))  # a sample every ten seconds
    assert await waited(slow, moving=counts) == pytest.approx(90, abs=1)
    with pytest.raises(MissingStepError, match="all is closed"):
        await waited(Machine(lambda at: with_open(10 - at / 10)))  # of which nobody said that it counts


async def test_when_nothing_moves_the_step_is_given_up() -> None:
    stuck = Machine(lambda _: with_open(1))
    with pytest.raises(MissingStepError):
        await waited(stuck, moving=counts)
    assert stuck.clock.monotonic() == pytest.approx(30, abs=1)


async def test_it_is_given_up_in_the_end_whatever_moves() -> None:
    endless = Machine(lambda at: with_open(10_000 - at))
    with pytest.raises(MissingStepError):
        await waited(endless, moving=counts)
    assert endless.clock.monotonic() == pytest.approx(MOST_S, abs=1)


async def test_looks_that_take_long_are_the_machines_fault() -> None:
    overloaded = Machine(lambda at: with_open(0 if at > 100 else 1), look_s=3.0)
    assert await waited(overloaded, within_s=20.0, moving=counts) == pytest.approx(100, abs=6)
    quick = Machine(lambda at: with_open(0 if at > 100 else 1))
    with pytest.raises(MissingStepError):
        await waited(quick, within_s=20.0, moving=counts)


async def test_what_must_be_so_at_once_is_not_waited_for() -> None:
    machine = Machine(lambda _: with_open(1))
    with pytest.raises(MissingStepError):
        await waited(machine, within_s=0.0)
    assert machine.looks == 1


def test_devices_alerts_gate_and_rollback_are_what_moves() -> None:
    device = {"device": "pump", "state": "online", "firmware": None}
    alert = {"fingerprint": "a", "state": "firing"}
    seen = [
        EMPTY,
        replace(EMPTY, devices=[device]),
        replace(EMPTY, devices=[device | {"firmware": "2"}, device]),
        replace(EMPTY, alerts=[alert]),
        replace(EMPTY, alerts=[alert | {"state": "resolved"}]),
        replace(EMPTY, gate={"verdict": "inconclusive", "e_value": 2.0}),
        replace(EMPTY, rollback={"commanded": ["a"]}),
        replace(EMPTY, fired=frozenset("a")),
        replace(EMPTY, resolved=frozenset("a")),
    ]
    assert len({one.moving() for one in seen}) == len(seen)
    assert with_open(5).moving() == EMPTY.moving()


def test_patience_is_renewed_by_each_change() -> None:
    clock = Running()
    patience = Patience(1.0, clock)
    for moving in (1, 1, 2, 2, 3, 3):
        clock.advance(2 * LOOK_S)
        assert not patience.over(moving)
    clock.advance(2 * LOOK_S)
    assert patience.over(3)
