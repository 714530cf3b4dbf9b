"""The rows of the bench: fleets, releases, and what each must show."""

from __future__ import annotations

from typing import NamedTuple

from compose.bench.gate.world import World
from ingest.contract.events import Guard, GuardKind

ALPHA = 0.05
GUARDS = [
    Guard(name="crash", kind=GuardKind.CRASH, margin=1.5),
    Guard(name="silence", kind=GuardKind.SILENCE, margin=5.0),
    Guard(name="latency", kind=GuardKind.SOAK, margin=1.25),
]
"""The reference plan: equal weights. Lost devices are few (1.4 % in 72 h), so that only a wide margin can be shown for them."""


class Scenario(NamedTuple):
    """A row: `kind` is false_fail, power or passes; `least` or `most` the bar for its rate, `hours` that for the median."""

    kind: str
    world: World
    least: float = 0.0
    most: float = 1.0
    hours: float = float("inf")


_FLEETS = {
    "identical": World(),
    "shock": World(shock=4.0),
    "unlike_hardware": World(crossed=True),
    "heavy_frailty": World(frailty=0.1),
    "slow_enrolment": World(enrolment=48.0, draw_every=1.0),
    "small_fleet": World(canaries=50, controls=50, draw_every=1.0),
    "arms_10_to_1": World(canaries=1000, controls=100, draw_every=1.0),
    "site_outages": World(outages=4),
}

SCENARIOS: dict[str, Scenario] = {
    **{name: Scenario("false_fail", world, most=0.05) for name, world in _FLEETS.items()},
    "crash_x2": Scenario("power", World(crash_ratio=2.0), 0.9, hours=14.0),
    "crash_x5": Scenario("power", World(crash_ratio=5.0), 0.998, hours=3.5),
    "brick_2": Scenario("power", World(bricked=0.02), 0.75),
    "brick_5": Scenario("power", World(bricked=0.05), 0.995, hours=3.0),
    "latency_10": Scenario("power", World(latency=1.1), 0.5),
    "latency_25": Scenario("power", World(latency=1.25), 0.998, hours=4.0),
    "latency_5_past": Scenario("power", World(latency=1.05, past=True), 0.95),
    "latency_10_past": Scenario("power", World(latency=1.1, past=True), 0.998, hours=4.0),
    "harmless": Scenario("passes", World(), 0.3),
    "at_margin": Scenario("passes", World(marginal_ratio=1.5), most=0.05),
}
