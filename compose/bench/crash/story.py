"""One seed's story: a minute of samples with late ones among them, a link that goes and comes, power that goes and comes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from compose.bench.crash.devices import Fleet
from compose.bench.crash.oracle import Judgement, judge
from compose.bench.crash.phases import Phase, choose
from compose.bench.crash.site import Site
from edge_aggregator.storage import StorageFailedError

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from compose.bench.crash.machine import CrashingFiles
    from compose.bench.crash.phases import CrashPoint
    from ingest.runtime.telemetry import Telemetry

T0 = 1_700_000_000_000
COMMITS = 52
STEP_MS = 1000
SETTLE_MS = 60_000
DEVICES, METRICS = 3, 7
OUTAGE = (10, 24)
"""How many commits the link is away, from and below."""
FLUSHES = 0.5
SECOND_CRASH = 0.3


class Outcome(NamedTuple):
    """What a seed came to; `crashes` by phase; `acknowledged` counts samples, each once."""

    seed: int
    acknowledged: int
    crashes: Counter[str]
    judgement: Judgement


def tell(seed: int, folder: Path, files: CrashingFiles, telemetry: Telemetry) -> Outcome:
    """Run one seed in `folder`, which is gone at the end. Pure but for the scratch files: a seed always ends alike."""
    chance = random.Random(seed)
    fleet = Fleet(chance, devices=DEVICES, metrics=METRICS)
    points = _points(seed, chance)
    site = Site(folder, fleet=fleet, chance=chance, files=files, telemetry=telemetry, points=points)
    try:
        _live(site, chance)
    except StorageFailedError as error:  # a gateway that does not start again has lost everything
        acknowledged = sum(map(len, fleet.everything().values()))
        return Outcome(seed, acknowledged, site.crashes, Judgement(acknowledged, 0, 1, 0, [f"does not go on: {error}"]))
    samples = fleet.everything()
    judgement = judge(samples, site.received, site.centre, site.totals)
    site.close()
    judgement.complaints.extend(site.complaints)
    mismatches = judgement.ledger_mismatches + len(site.complaints)
    return Outcome(
        seed, sum(map(len, samples.values())), site.crashes, judgement._replace(ledger_mismatches=mismatches)
    )


def _live(site: Site, chance: random.Random) -> None:
    now = _a_minute(site, chance)
    if not site.crashes:
        site.cut_power()
    site.disarm()
    _settle(site, now)


def _points(seed: int, chance: random.Random) -> list[CrashPoint]:
    # Phases take turns, so that each has its share.
    phases = [list(Phase)[seed % len(Phase)]]
    if chance.random() < SECOND_CRASH:
        phases.append(chance.choice(list(Phase)))
    return [choose(phase, COMMITS, chance) for phase in phases]


def _a_minute(site: Site, chance: random.Random) -> int:
    began = chance.randrange(4, COMMITS - OUTAGE[1])
    outage = range(began, began + chance.randrange(*OUTAGE))
    for number in range(1, COMMITS + 1):
        now = T0 + number * STEP_MS
        site.commit(now)
        if chance.random() < FLUSHES:
            site.flush(now)
        if number not in outage:
            site.forward()
    return now


def _settle(site: Site, now: int) -> None:
    # Twice: what was under way comes again, everything closes, and something fresh still gets through.
    for number in (1, 2):
        site.commit(now + number * SETTLE_MS)
        site.flush(now + (number + 1) * SETTLE_MS)
        site.flush(now + (number + 1) * SETTLE_MS)
    for _ in range(20):
        site.forward()
