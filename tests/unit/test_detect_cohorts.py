"""What a partition's series say of their cohorts: the sums of a loop, once in a slot, and a shift that no series shows alone."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from analytics.detect.by_cohort import FARTHEST, LEAST_SEEN, summaries
from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from analytics.detect.stage import DetectStage
from analytics.detectors.cohort_shift import SLOT_WINDOWS
from ingest.contract.batch import RollupBatch
from ingest.contract.records import Record
from ingest.contract.topics import COHORTS
from ingest.runtime.gateways import Gateways
from ingest.runtime.telemetry import Telemetry
from tests import cohort_world
from tests.cohort_world import HARDWARE, LEARNS, METRIC, SLOT_MS, WIDTH, moment, statuses
from tests.detect_fleet import Fleet
from tests.rollup_batches import ORIGIN, T0
from tests.signed_gateway import SignedGateway

PHASE = (T0 // WIDTH + 1) % SLOT_WINDOWS
"""Of the first window of a fleet's, in its slot."""


def test_it_says_what_a_loop_would_say() -> None:
    chance, fleet = np.random.default_rng(1), Fleet(9, ("a", "b"), width=WIDTH, hardware=("x", "y"))
    fleet.devices = [msgspec.structs.replace(row, firmware=f"{at % 3}") for at, row in enumerate(fleet.devices)]
    engine = Engine(DetectConfig())
    said = []
    for window in range(LEAST_SEEN + 2 * SLOT_WINDOWS):
        values = chance.normal(40, 1, (9, 2)) + (window > LEAST_SEEN) * 3.0 * np.arange(9)[:, None]
        batch = fleet.batch(values, window)
        engine.step(batch)
        if engine.cohorts:
            said.append((window, engine.cohorts, batch))
        expected = _looped(engine, batch) if (PHASE + window) % SLOT_WINDOWS == 0 else {}
        found = {part[:3]: part[3:] for event in engine.cohorts for part in map(msgspec.structs.astuple, event.parts)}
        assert found.keys() == expected.keys()
        for cohort, sums in found.items():
            assert sums == pytest.approx(expected[cohort], rel=1e-8)
        engine.cohorts = []
    assert [(PHASE + window) % SLOT_WINDOWS for window, _, _ in said] == [0, 0]
    window, (event,), batch = said[-1]
    assert event.at % (SLOT_WINDOWS * WIDTH) == 0
    assert event.at <= int(batch.column("start")[0]) + WIDTH < event.at + WIDTH
    assert (event.tenant, event.site, event.gateway, event.boot) == ORIGIN
    assert (event.seq, event.width) == (batch.seq, WIDTH)
    assert len(event.parts) == 12  # two metrics, two hardwares, three firmwares


def test_backlog_corrections_and_what_is_not_known_say_nothing() -> None:
    fleet, engine = Fleet(3, width=WIDTH), _old(Fleet(3, width=WIDTH))
    window = next(at for at in range(LEAST_SEEN, 2 * LEAST_SEEN) if (PHASE + at) % SLOT_WINDOWS == 0)
    values = np.full((3, 1), 40.0)
    engine.step(fleet.batch(values, window, historical=True))
    engine.step(fleet.batch(values, window, revision=1))
    assert engine.cohorts == []
    batch = fleet.batch(values, window)
    assert summaries(engine.table.columns, batch, np.full(3, -1, np.int32)) == []
    engine.step(batch)
    assert [part.count for event in engine.cohorts for part in event.parts] == [3]
    off = Engine(DetectConfig(cohort_sites=0))
    off.load(engine.dump())
    assert len(off.cohorts) == 1  # what was to be said is not lost with the process
    off.cohorts = []
    off.step(fleet.batch(values, window + SLOT_WINDOWS))
    assert off.cohorts == []


def test_windows_of_several_widths_and_slots_in_one_batch_are_told_apart() -> None:
    fleet = Fleet(4, width=WIDTH)
    engine = _old(fleet)
    window = next(at for at in range(LEAST_SEEN, 2 * LEAST_SEEN) if (PHASE + at) % SLOT_WINDOWS == 0)
    first, second = (fleet.batch(np.full((4, 1), 40.0), at) for at in (window, window + 1))
    columns = {name: np.concatenate([first.column(name), second.column(name)]) for name in first.columns}
    engine.step(msgspec.structs.replace(second, columns=columns))
    assert [(event.width, [part.count for part in event.parts]) for event in engine.cohorts] == [(WIDTH, [4])]


def test_the_stage_says_it_when_it_saves_and_nothing_is_lost_in_between() -> None:
    gateway, fleet = SignedGateway(), Fleet(3, width=WIDTH)
    windows = LEAST_SEEN + 2 * SLOT_WINDOWS
    records = []
    for window in range(windows):
        made = gateway.sign(fleet.batch(np.full((3, 1), 40.0 + window % 3), window))
        records.append(Record(made.topic, 4, window, made.key, made.value, made.headers, T0))
    gateways = Gateways([gateway.config])
    whole, before, after = (DetectStage(DetectConfig(snapshot_s=1000.0), gateways, Telemetry("test")) for _ in range(3))
    whole.step(records[:1], T0)
    expected = whole.step(records[1:], T0 + 1_000_000).outgoing
    assert [(one.topic, one.key) for one in expected] == [(COHORTS, b"acme")] * 2
    assert len({dict(one.headers)["ce_id"] for one in expected}) == 2
    before.step(records[:1], T0)
    assert before.step(records[1:-SLOT_WINDOWS], T0 + 1).outgoing == []  # not yet
    after.restore(dict(before.snapshot()))
    assert after.step(records[-SLOT_WINDOWS:], T0 + 1_000_000).outgoing == expected
    assert after.step([], T0 + 2_000_000).outgoing == []


def test_a_shift_of_one_scale_is_found_over_five_sites_while_no_series_alerts() -> None:
    known = cohort_world.Fleet(sites=5, devices=8)  # what the sites said before
    known.run(LEARNS)
    fleet, engine = Fleet(8, (METRIC,), width=WIDTH, hardware=(HARDWARE,)), Engine(DetectConfig())
    shifted = (moment(LEARNS) - T0) // WIDTH
    chance, decisions, told = np.random.default_rng(5), [], []
    for window in range(shifted - LEAST_SEEN, shifted + 10 * SLOT_WINDOWS):
        values = 40 + 0.3 * chance.normal(size=(5, 8, 1)) + 0.3 * (window >= shifted)
        for site, of_site in zip(known.sites, values, strict=True):
            origin = ORIGIN._replace(site=site.name, gateway=f"gw-{site.name}")
            decisions += engine.step(fleet.batch(of_site, window, origin=origin))
        said, engine.cohorts = engine.cohorts, []
        told += [event for one in said for event in known.tenant.take(one, one.at)]
    assert decisions == []
    assert statuses(told) == ["entered"]
    first = told[0]
    assert (first.metric, first.hardware, first.firmware) == (METRIC, HARDWARE, "2.2.0")
    assert (first.sites, first.devices) == (5, 40)
    assert 0.4 < first.value < 1.2  # series that are young have begun to learn it
    assert abs(first.since - moment(LEARNS)) <= 2 * SLOT_MS


def _looped(engine: Engine, batch: RollupBatch) -> dict[tuple[str, str, str], tuple[int, float, float]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    totals: dict[tuple[str, str, str], list[float]] = {}
    columns = engine.table.columns
    for series in range(len(engine.table)):
        device, metric = (engine.table.devices.names, engine.table.metrics.names)
        name = device[columns["device"][series]]
        row = next(one for one in batch.devices if one.device == name.device)
        if columns["slow_seen"][series] < LEAST_SEEN:
            continue
        cohort = (metric[columns["metric"][series]].name, row.hardware, row.firmware)
        distance = min(max(float(columns["lean"][series]), -FARTHEST), FARTHEST)
        counts[cohort] += 1
        sums = totals.setdefault(cohort, [0.0, 0.0])
        sums[0] += distance
        sums[1] += distance * distance
    return {cohort: (number, *totals[cohort]) for cohort, number in counts.items()}


def _old(fleet: Fleet) -> Engine:
    """An engine that has seen these devices for long enough."""
    engine = Engine(DetectConfig())
    for window in range(LEAST_SEEN):
        engine.step(fleet.batch(np.full((len(fleet.devices), 1), 40.0), window))
    engine.cohorts = []
    return engine
