"""Devices of a named class: all metrics together, live; told like any other anomaly, the likeliest cause first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from analytics.alerts.rules import metric_anomaly
from analytics.detect.classes import Classes
from analytics.detect.config import DetectConfig, DeviceClass
from analytics.detect.stage import DetectStage
from analytics.incidents.incident import Member
from analytics.incidents.relay import anomaly_signal
from analytics.incidents.telling import symptoms_of
from ingest.contract.events import AnomalyEvent, AnomalyStatus
from ingest.contract.topics import ANOMALIES
from ingest.runtime.gateways import Gateways
from ingest.runtime.telemetry import Telemetry
from tests.detect_fleet import Fleet
from tests.rollup_batches import T0
from tests.signed_gateway import SignedGateway
from tests.unit.test_detect_stage import read

if TYPE_CHECKING:
    from ingest.contract.batch import RollupBatch

METRICS = ("flow", "heat", "power", "pressure")
FLEET = Fleet(2, METRICS)
PUMPS = DetectConfig(together=[DeviceClass(name="pumps", group="pump*")], continues_s=10.0, rebaseline_s=1e6)
FAULT, WINDOWS = 600, 760


def history() -> list[RollupBatch]:
    """Two devices whose metrics follow hidden causes; then the power of d0 goes its own way for half a minute."""
    rng = np.random.default_rng(4)
    causes, mixed = rng.normal(size=(WINDOWS, 2, 2)), rng.normal(size=(2, 4))
    values = 50 + causes @ mixed + rng.normal(0, 0.2, (WINDOWS, 2, 4))
    values[FAULT : FAULT + 30, 0, 2] += 3 * values[:FAULT, 0, 2].std()
    return [FLEET.batch(one, window) for window, one in enumerate(values)]


BATCHES = history()


def run(classes: Classes, batches: list[RollupBatch]) -> list[AnomalyEvent]:
    return [event for batch in batches for event in classes.step(batch)]


@pytest.fixture(scope="module")
def told() -> list[AnomalyEvent]:
    return run(Classes(PUMPS), BATCHES)


def test_a_metric_that_leaves_its_company_is_told_from_beginning_to_end(told: list[AnomalyEvent]) -> None:
    first, *middle, last = told
    assert [first.status, last.status] == [AnomalyStatus.ENTERED, AnomalyStatus.LEFT]
    assert {event.status for event in middle} == {AnomalyStatus.CONTINUES}
    assert 3 <= len(middle) <= 14
    assert (first.device, first.metric, first.detector) == ("d0", "power", "together")
    assert first.signal.split(", ")[0] == "power"
    assert (first.labels, first.reason) == ((("together", "pumps"),), "own_past")
    assert (first.group, first.hardware) == ("pumps", "rev-a")
    assert FAULT <= (first.at - T0) // 1000 - 1 <= FAULT + 3
    assert first.score >= 0.5
    assert first.value > first.expected
    assert {event.episode for event in told} == {first.episode}


@pytest.mark.parametrize("cut", [5, 300, FAULT + 2, FAULT + 20])
def test_a_restart_says_the_same(told: list[AnomalyEvent], cut: int) -> None:
    before, after = Classes(PUMPS), Classes(PUMPS)
    found = run(before, BATCHES[:cut])
    after.load(before.dump())
    assert found + run(after, BATCHES[cut:]) == told


def test_nobody_is_looked_at_who_is_in_no_class_and_backlog_is_of_the_past() -> None:
    others = Classes(DetectConfig(together=[DeviceClass(name="fans", group="fans")]))
    assert run(others, BATCHES[:30]) == []
    assert len(others) == 0
    late = Classes(PUMPS)
    assert run(late, [msgspec.structs.replace(batch, historical=True) for batch in BATCHES[:30]]) == []
    assert len(late) == 0


def test_there_is_room_for_so_many_devices_and_the_others_are_counted() -> None:
    small = Classes(msgspec.structs.replace(PUMPS, together_devices=1))
    run(small, BATCHES[:30])
    assert (len(small), small.take_full(), small.take_full()) == (1, 30, 0)


def test_what_no_device_is_in_any_more_is_remembered_for_a_while() -> None:
    classes = Classes(msgspec.structs.replace(PUMPS, relearn_after_s=5.0, forget_after_s=100.0))
    pools = []
    for turn in range(6):
        fleet = Fleet(2, (*METRICS, f"fan_{turn}"))
        run(classes, [fleet.batch(np.ones((2, 5)), 60 * turn + window) for window in range(25)])
        pools.append(classes.pools)
    assert pools == [1, 2, 3, 3, 3, 3]
    again = Classes(PUMPS)
    again.load(classes.dump())
    assert again.pools == 3


def test_of_classes_without_devices_as_many_are_remembered_as_there_may_be_devices() -> None:
    classes = Classes(msgspec.structs.replace(PUMPS, relearn_after_s=5.0, together_devices=2))
    for turn in range(6):
        fleet = Fleet(2, (*METRICS, f"fan_{turn}"))
        run(classes, [fleet.batch(np.ones((2, 5)), 60 * turn + window) for window in range(25)])
    assert classes.pools == 1 + 2


def test_only_the_named_metrics_and_who_has_two_of_them() -> None:
    named = Classes(DetectConfig(together=[DeviceClass(name="pumps", metrics=["flow", "heat"])]))
    single = Classes(DetectConfig(together=[DeviceClass(name="pumps", metrics=["flow"])]))
    assert run(named, BATCHES) == run(single, BATCHES[:100]) == []


def test_the_stage_tells_it_and_continues_from_its_snapshot(told: list[AnomalyEvent]) -> None:
    gateway = SignedGateway()
    batches = [msgspec.structs.replace(batch, origin=gateway.origin) for batch in BATCHES]
    records = [read(gateway.sign(batch), offset) for offset, batch in enumerate(batches)]
    first, second = (DetectStage(PUMPS, Gateways([gateway.config]), Telemetry("test")) for _ in range(2))
    outgoing = first.step(records[:610], T0).outgoing
    second.restore(dict(first.snapshot()))
    outgoing += second.step(records[610:], T0).outgoing
    told_of = [record.value or b"" for record in outgoing if record.topic == ANOMALIES]
    events = [msgspec.json.decode(value, type=AnomalyEvent) for value in told_of]
    assert [event for event in events if event.detector == "together"] == told


def test_incidents_begin_with_the_metric_that_was_ranked_first(told: list[AnomalyEvent]) -> None:
    ranked = anomaly_signal(told[0])
    earlier = msgspec.structs.replace(ranked, metric="heat", labels=(), since=ranked.since - 5, expected=0.0)
    assert symptoms_of([Member(earlier), Member(ranked)])[0].metric == "power"
    alone = msgspec.structs.replace(ranked, labels=())
    assert symptoms_of([Member(earlier), Member(alone)])[0].metric == "heat"


def test_its_curve_is_that_of_the_metric(told: list[AnomalyEvent]) -> None:
    condition = metric_anomaly(told[0], "")
    assert condition.labels["label_together"] == "pumps"
    assert condition.evidence == {"site": told[0].site, "device": "d0", "metric": "power"}
