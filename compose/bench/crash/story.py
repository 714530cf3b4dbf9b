"""One seed's story: four minutes of samples, late ones among them, a link that goes and comes, power that goes and comes."""

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

CELL_ENDS = 1_700_000_400_000
"""Where a cell of edge_aggregator.outbox.cells ends (ms): the story begins before it."""
COMMITS = 52
STEP_MS = 5000
SETTLE_MS = 60_000
DEVICES, METRICS = 3, 7
CELL = (13, 19, 25)
"""How many commits of the cell there are, from a half minute's beginning on. The link is away from the first one on."""
PRESSED_AFTER = (7, 10)
"""So many commits after the cell the outbox is full: nothing late comes for the cell any more, so that all of it counts."""
LINK_COMES = (1, 6)
LATE_AFTER = (4, 8)
"""So many commits after the link came a sample is surely late."""
PART = (0.94, 0.99)
"""Which part of what waits the outbox may hold then: what becomes coarser makes room for that, and for what comes meanwhile."""
FLUSHES = 0.5, 0.2
"""How often windows close after a commit: while the outbox fills, so that there is much to merge, and afterwards."""
SECOND_CRASH = 0.3


class Outcome(NamedTuple):
    """What a seed came to; `crashes` by phase; `acknowledged` counts samples, each once; `untold`: see Site."""

    seed: int
    untold: set[str]
    acknowledged: int
    crashes: Counter[str]
    judgement: Judgement


def tell(seed: int, folder: Path, files: CrashingFiles, telemetry: Telemetry) -> Outcome:
    """Run one seed in `folder`, which is gone at the end. Pure but for the scratch files: a seed always ends alike."""
    chance = random.Random(seed)
    random.seed(seed)  # the ids of traces, of which records have one each
    cell = chance.choice(CELL)
    fleet = Fleet(chance, devices=DEVICES, metrics=METRICS, earliest=CELL_ENDS - (cell - 1) * STEP_MS)
    points = _points(seed, chance)
    site = Site(folder, fleet=fleet, chance=chance, files=files, telemetry=telemetry, points=points)
    try:
        _live(site, chance, cell)
    except StorageFailedError as error:  # a gateway that does not start again has lost everything
        acknowledged = sum(map(len, fleet.everything().values()))
        judgement = Judgement(acknowledged, 0, 1, 0, [f"does not go on: {error}"])
        return Outcome(seed, site.untold(), acknowledged, site.crashes, judgement)
    samples = fleet.everything()
    judgement = judge(samples, site.received, site.centre, site.totals)
    site.check_classes()
    site.close()
    judgement.complaints.extend(site.complaints)
    mismatches = judgement.ledger_mismatches + len(site.complaints)
    judgement = judgement._replace(ledger_mismatches=mismatches)
    return Outcome(seed, site.untold(), sum(map(len, samples.values())), site.crashes, judgement)


def _live(site: Site, chance: random.Random, cell: int) -> None:
    now = _four_minutes(site, chance, cell)
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


def _four_minutes(site: Site, chance: random.Random, cell: int) -> int:
    pressed = cell + chance.randrange(*PRESSED_AFTER)
    link_comes = pressed + chance.randrange(*LINK_COMES)
    # What is late is so for windows that have closed; what comes while the outbox is full should be little.
    surely = {pressed - 1, *(link_comes + late - 1 for late in LATE_AFTER)}
    for number in range(1, COMMITS + 1):
        now = CELL_ENDS + (number - cell) * STEP_MS
        site.commit(now, late=number - link_comes in LATE_AFTER)
        if number == pressed:
            site.squeeze(now, chance.uniform(*PART))
        elif number in surely or chance.random() < FLUSHES[number > pressed]:
            site.flush(now)
        if number >= link_comes:
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
