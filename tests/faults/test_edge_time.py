"""Clocks that jump, and a week without a link: the account stays exact and every window holds what belongs to it.

`TIDEGATE_PROVE_ROUNDS` says how many seeds (`make prove` asks for many).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from compose.bench.crash.centre import Centre
from compose.bench.crash.oracle import judge
from tests.edge_bench import T0, Bench, edge_config, telemetry

ROUNDS = int(os.environ.get("TIDEGATE_PROVE_ROUNDS", "1"))
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
FAR = 100 * DAY
TOLERATED = (0, 0, 30 * SECOND, -30 * SECOND, HOUR, DAY, 2 * DAY)
"""What a gateway's clock may be off: ahead by any time, behind by less than `future_tolerance_s`."""
BEHIND = (0, -2 * MINUTE, -HOUR, -DAY)

Said = dict[tuple[str, str], dict[int, float]]
seeds = pytest.mark.parametrize("seed", range(1, ROUNDS + 1))


class Story:
    """A gateway, what its devices have said to it, and what has arrived at the centre."""

    def __init__(self, bench: Bench, chance: random.Random) -> None:
        self.bench, self.chance, self.centre = bench, chance, Centre()
        self.said: Said = {}

    def say(self, device: str, times: list[int], at: int) -> None:
        """Whole numbers, so that sums are exact in any order."""
        known = self.said.setdefault((device, "m"), {})
        for ts in times:
            known.setdefault(ts, float(self.chance.getrandbits(22)))
        self.bench.take([telemetry(device, [{"ts": ts, "metrics": {"m": known[ts]}} for ts in times])], at)

    def send(self) -> None:
        """All that waits."""
        core = self.bench.core
        while waiting := core.head():
            self.centre.append(one.record for one in waiting)
            core.sent(waiting)

    def close_all(self, now: int) -> None:
        for later in (FAR, 2 * FAR):
            self.bench.flush(now + later)
        self.send()

    def balanced(self) -> bool:
        """Nothing open, nothing unexplained, and the centre has what was told."""
        totals = self.bench.rooms.ledger.totals
        stored = sum(numbers.samples for found in self.centre.windows().values() for numbers in found.values())
        return (totals.open, totals.unaccounted(), totals.rolled_up) == (0, 0, stored)


@seeds
def test_a_clock_that_jumps_while_windows_are_open_changes_no_window(tmp_path: Path, seed: int) -> None:
    story, now = jumping(tmp_path, seed, TOLERATED)
    story.close_all(now)
    totals = story.bench.rooms.ledger.totals
    received = sum(map(len, story.said.values()))
    found = judge(story.said, received, story.centre, totals)
    assert not found.wrong(), found
    assert (found.dropped, totals.rejected) == (0, {})


@seeds
def test_a_clock_that_runs_behind_keeps_the_account_and_harms_nothing_later(tmp_path: Path, seed: int) -> None:
    story, now = jumping(tmp_path, seed, BEHIND)
    fresh = now - now % DAY + DAY
    story.said.clear()
    for second in range(60):
        story.say("d0", [fresh + second * SECOND], fresh + second * SECOND)
    story.close_all(fresh)
    assert story.balanced()
    windows = story.centre.windows()["d0", "m"]
    later = {window: numbers for window, numbers in windows.items() if window.start >= fresh}
    assert sum(numbers.samples for numbers in later.values()) == 60
    assert sum(numbers.sum for numbers in later.values()) == sum(story.said["d0", "m"].values())


def jumping(folder: Path, seed: int, offsets: tuple[int, ...]) -> tuple[Story, int]:
    """Two minutes in which the gateway's clock jumps again and again; the devices' clocks are right."""
    print(f"seed {seed}")  # noqa: T201 - a failure must be repeatable
    chance = random.Random(seed)
    story, offset, now = Story(Bench(edge_config(folder, journal_age_s=1e6)), chance), 0, T0
    for number in range(120):
        now = T0 + number * SECOND
        if chance.random() < 0.1:
            offset = chance.choice(offsets)
        for device in range(3):
            late = chance.randrange(20) * SECOND if chance.random() < 0.1 else 0
            story.say(f"d{device}", [now - late + device + number], now + offset)
        if chance.random() < 0.5:
            story.bench.flush(now + offset)
        if chance.random() < 0.02:
            story.bench.restart()
    return story, now


@pytest.mark.whole
@seeds
@pytest.mark.parametrize("outbox_bytes", [1 << 30])
def test_a_week_without_a_link_is_accounted_to_the_last_sample(tmp_path: Path, seed: int, outbox_bytes: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - a failure must be repeatable
    chance = random.Random(seed)
    config = edge_config(tmp_path, window_s=600.0, heartbeat_s=3600.0, outbox_bytes=outbox_bytes)
    story = Story(Bench(config), chance)
    now = T0
    for hour in range(7 * 24):
        now = T0 + (hour + 1) * HOUR
        for device in range(3):
            times = [now - minute * MINUTE for minute in range(60, 0, -1)]
            if chance.random() < 0.05:  # what a device kept for itself comes hours later, as one piece
                times = [ts - chance.randrange(1, 20) * HOUR + 7 for ts in times]
            story.say(f"d{device}", sorted(set(times)), now)
        story.bench.flush(now)
        assert story.bench.rooms.state.outbox.bytes <= outbox_bytes
        if chance.random() < 0.02:
            story.bench.restart()
    for minute in range(20):  # the link is back, and devices go on
        story.say("d0", [now + minute * MINUTE], now + minute * MINUTE)
        story.bench.flush(now + minute * MINUTE)
        story.send()
    story.close_all(now)
    totals = story.bench.rooms.ledger.totals
    found = judge(story.said, totals.received, story.centre, totals)
    print(totals, found[:4])  # noqa: T201 - what the bound has cost
    assert not found.wrong(), found
    assert found.dropped == 0 or outbox_bytes < 1 << 30
