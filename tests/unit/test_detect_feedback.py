"""Not an anomaly: what people say is normal is not told any more, what is rarer is, and undoing it leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from analytics.detect.feedback import Normal, rarity_of
from analytics.detect.reasons import AnomalyReason
from ingest.contract.events import AnomalyEvent, AnomalyStatus, FeedbackEvent, FeedbackScope, episode_of
from ingest.contract.events.feedback import MOST_FEEDBACK
from ingest.contract.records import Record, event_record
from ingest.contract.topics import FEEDBACK
from tests.detect_fleet import Fleet
from tests.rollup_batches import T0
from tests.signed_gateway import SignedGateway
from tests.unit.test_detect_stage import read, run, stage_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.detect.stage import DetectStage
    from ingest.contract.records import Outgoing

QUIET, EPISODE, PAUSE, EPISODES = 40, 10, 30, 3
ENTERED, CONTINUES, LEFT = AnomalyStatus
FLEET = Fleet(10, ("memory_percent",))


@pytest.fixture(scope="module")
def gateway() -> SignedGateway:
    return SignedGateway()


@pytest.fixture(scope="module")
def history(gateway: SignedGateway) -> list[Record]:
    """d0 climbs for ten windows and comes back, three times; the third time twice as high. One signed record a window."""
    values = np.random.default_rng(1).normal(40, 0.3, (QUIET + EPISODES * (EPISODE + PAUSE), 10))
    for number, height in enumerate((1.0, 1.0, 2.0)):
        start = QUIET + number * (EPISODE + PAUSE)
        values[start : start + EPISODE, 0] += height * np.arange(1, EPISODE + 1)
    batches = (msgspec.structs.replace(batch, origin=gateway.origin) for batch in FLEET.batches(values))
    return [read(gateway.sign(batch), offset) for offset, batch in enumerate(batches)]


def told(outgoing: Sequence[Outgoing]) -> list[AnomalyEvent]:
    return [msgspec.json.decode(record.value or b"", type=AnomalyEvent) for record in outgoing]


def said(event: AnomalyEvent, at: int, **fields: Any) -> FeedbackEvent:
    known = {
        "id": "fb-1",
        "scope": FeedbackScope.SERIES,
        "rarity": 1.1 * rarity_of(event.tail_probability),
        "by": "anna",
        "reason": "the pump is emptied on Mondays",
    }
    return FeedbackEvent(
        tenant=event.tenant,
        anomaly=event.episode,
        site=event.site,
        device=event.device,
        metric=event.metric,
        labels=event.labels,
        hardware=event.hardware,
        detector=event.detector,
        since=event.since,
        seen=rarity_of(event.tail_probability),
        at=at,
        **(known | fields),
    )


def record(event: FeedbackEvent, offset: int = 0) -> Record:
    return read(event_record(FEEDBACK, event.id, event, event_id=event.id, source="test", time=event.at), offset)


def snapshots(stage: DetectStage) -> dict[str, bytes]:
    return {name: part for name, part in stage.snapshot().items() if name.startswith("partition")}


def rarest(events: Sequence[AnomalyEvent]) -> AnomalyEvent:
    return min(events, key=lambda event: event.tail_probability)


def test_what_people_say_is_normal_is_not_told_and_what_is_rarer_is(
    gateway: SignedGateway, history: list[Record]
) -> None:
    everything = told(run(stage_for(gateway)[0], history))
    first, second, third = episodes(everything)
    stage, telemetry = stage_for(gateway)
    before = run(stage, history[: QUIET + EPISODE + PAUSE])
    stage.step([record(said(rarest(first), first[-1].at + 1, rarity=1.05 * max(map(_rarity, [*first, *second]))))], T0)
    after = told(run(stage, history[QUIET + EPISODE + PAUSE :]))
    assert told(before) == first
    # The third time it climbs twice as high: told from where it becomes rarer than ever before.
    assert [event.status for event in after] == [ENTERED, *(event.status for event in third[-len(after) + 1 :])]
    assert after[1:] == third[-len(after) + 1 :]
    assert telemetry.registry.get_sample_value("tidegate_analytics_withheld_anomalies_total") >= len(second)
    assert telemetry.registry.get_sample_value("tidegate_analytics_feedback", {"scope": "series"}) == 1.0


def test_undoing_it_restores_every_bit(gateway: SignedGateway, history: list[Record]) -> None:
    never, undone = stage_for(gateway)[0], stage_for(gateway)[0]
    expected = run(never, history)
    first, second, third = episodes(told(expected))
    one = said(rarest(first), first[-1].at + 1, rarity=600.0)
    cut = QUIET + 2 * (EPISODE + PAUSE) - 5
    found = run(undone, history[: QUIET + EPISODE + PAUSE])
    undone.step([record(one)], T0)
    assert run(undone, history[QUIET + EPISODE + PAUSE : cut]) == []
    back = msgspec.structs.replace(one, undone_at=second[-1].at + 1, undone_by="bert", undone_reason="it was the leak")
    undone.step([record(back, 1)], T0)
    found += run(undone, history[cut:])
    assert told(found) == [*first, *third]
    assert [one.value for one in found[-len(third) :]] == [one.value for one in expected[-len(third) :]]
    assert snapshots(undone) == snapshots(never)


def test_an_alarm_under_way_ends_for_people_and_is_told_anew_when_that_is_undone() -> None:
    normal, entered = Normal(), anomaly(ENTERED, 1000)
    assert list(normal.let_through(3, [entered])) == [entered]
    one = said(entered, 1500)
    normal.take(one)
    (ended,) = normal.let_through(3, [anomaly(CONTINUES, 2000)])
    assert (ended.status, ended.reason, ended.since) == (LEFT, AnomalyReason.SAID_NORMAL, entered.since)
    assert list(normal.let_through(3, [anomaly(CONTINUES, 3000)])) == []
    normal.take(msgspec.structs.replace(one, undone_at=3500, undone_by="bert"))
    (anew,) = normal.let_through(3, [anomaly(CONTINUES, 4000)])
    assert (anew.status, anew.episode) == (ENTERED, entered.episode)
    left = anomaly(LEFT, 5000)
    assert list(normal.let_through(3, [left])) == [left]


def test_an_alarm_that_becomes_rarer_than_normal_is_told_as_one_that_begins() -> None:
    normal = Normal()
    normal.take(said(anomaly(ENTERED, 0), 0))
    assert list(normal.let_through(0, [anomaly(ENTERED, 1000), anomaly(CONTINUES, 2000)])) == []
    (told_now,) = normal.let_through(0, [anomaly(CONTINUES, 3000, p=1e-30)])
    assert told_now.status is ENTERED
    assert list(normal.let_through(0, [anomaly(LEFT, 4000)])) == [anomaly(LEFT, 4000)]
    assert list(normal.let_through(0, [anomaly(ENTERED, 5000), anomaly(LEFT, 6000)])) == []


def test_it_holds_for_its_series_its_detector_and_its_time_alone() -> None:
    normal = Normal()
    normal.take(said(anomaly(ENTERED, 0), 5000))
    others: list[dict[str, Any]] = [
        {"tenant": "other"},
        {"device": "d1"},
        {"site": "south"},
        {"metric": "cpu"},
        {"labels": (("core", "1"),)},
        {"detector": "novelty"},
    ]
    for other in others:
        event = msgspec.structs.replace(anomaly(ENTERED, 6000), **other)
        assert list(normal.let_through(0, [event])) == [event], other
    assert list(normal.let_through(0, [anomaly(ENTERED, 4999), anomaly(LEFT, 4999)]))
    assert not list(normal.let_through(0, [anomaly(ENTERED, 5000)]))


def test_for_a_cohort_it_holds_for_all_devices_with_the_hardware() -> None:
    normal = Normal()
    normal.take(said(anomaly(ENTERED, 0), 0, scope=FeedbackScope.COHORT))
    elsewhere = msgspec.structs.replace(anomaly(ENTERED, 1000), device="d9", site="south")
    assert not list(normal.let_through(0, [elsewhere]))
    unlike = msgspec.structs.replace(elsewhere, hardware="rev-z")
    assert list(normal.let_through(0, [unlike])) == [unlike]


def test_a_restart_goes_on_withholding() -> None:
    before, after = Normal(), Normal()
    before.take(said(anomaly(ENTERED, 0), 0))
    assert not list(before.let_through(2, [anomaly(ENTERED, 1000)]))
    parts = before.parts([2])
    assert before.parts([]) == {}
    assert [after.restore(name, part) for name, part in parts.items()] == [True, True]
    assert not after.restore("partition-2", b"")
    assert not list(after.let_through(2, [anomaly(CONTINUES, 2000), anomaly(LEFT, 3000)]))
    assert after.withheld == {2: {}}


def test_beyond_the_bound_what_was_undone_goes_first_then_what_was_said_first() -> None:
    normal, event = Normal(), anomaly(ENTERED, 0)
    undone = said(event, MOST_FEEDBACK, id="fb-undone", undone_at=MOST_FEEDBACK + 1)
    normal.take(undone)
    for number in range(MOST_FEEDBACK):
        normal.take(said(event, number, id=f"fb-{number:06}"))
    assert set(normal.said.of("acme")) == {f"fb-{number:06}" for number in range(MOST_FEEDBACK)}
    normal.take(said(event, MOST_FEEDBACK, id="fb-new"))
    assert len(normal.said) == MOST_FEEDBACK
    assert "fb-000000" not in normal.said.of("acme")


def test_another_tenant_that_calls_its_own_the_same_undoes_nothing(
    gateway: SignedGateway, history: list[Record]
) -> None:
    stage, telemetry = stage_for(gateway)
    first, _, third = episodes(told(run(stage_for(gateway)[0], history)))
    run(stage, history[: QUIET + EPISODE + PAUSE])
    ours = said(rarest(first), first[-1].at + 1, rarity=600.0)
    theirs = msgspec.structs.replace(ours, tenant="other", undone_at=ours.at + 1, undone_by="mallory")
    stage.step([record(ours), record(theirs, 1)], T0)
    assert run(stage, history[QUIET + EPISODE + PAUSE :]) == []
    assert len(third) > 0
    assert telemetry.registry.get_sample_value("tidegate_analytics_feedback", {"scope": "series"}) == 1.0


def anomaly(status: AnomalyStatus, at: int, p: float = 1e-12) -> AnomalyEvent:
    event = AnomalyEvent(
        tenant="acme",
        site="north",
        device="d0",
        metric="memory",
        labels=(),
        status=status,
        detector="robust_level",
        at=at,
        since=500,
        value=60.0,
        expected=40.0,
        scale=2.0,
        score=0.7,
        tail_probability=p,
        hardware="rev-b",
    )
    return msgspec.structs.replace(event, episode=episode_of(event))


def episodes(events: Sequence[AnomalyEvent]) -> tuple[list[AnomalyEvent], list[AnomalyEvent], list[AnomalyEvent]]:
    names = list(dict.fromkeys(event.episode for event in events))
    first, second, third = ([event for event in events if event.episode == name] for name in names)
    return first, second, third


def _rarity(event: AnomalyEvent) -> float:
    return rarity_of(event.tail_probability)
