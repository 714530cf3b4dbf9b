"""Event time of a site: it follows its gateways' heartbeats, never runs back, and waits for nobody for ever."""

from __future__ import annotations

import pytest

from analytics.rollouts import timeline as module
from analytics.rollouts.facts import Fact, FactKind
from analytics.rollouts.timeline import Heartbeat, Timeline

SETTLE, PATIENCE = 100, 10_000


def advance(timeline: Timeline, now: int) -> bool:
    return timeline.advance(now, settle_ms=SETTLE, patience_ms=PATIENCE)


def test_a_heartbeat_counts_once_it_has_settled() -> None:
    timeline = Timeline()
    timeline.hear("gw", Heartbeat(at=50, logged=7, seen=1000))
    assert not advance(timeline, 1000 + SETTLE - 1)
    assert advance(timeline, 1000 + SETTLE)
    assert (timeline.watermark, timeline.logged) == (50, 7)


def test_the_slowest_gateway_of_a_site_decides_until_it_has_been_silent_too_long() -> None:
    timeline = Timeline()
    timeline.hear("one", Heartbeat(50, 0, 0))
    timeline.hear("two", Heartbeat(20, 0, 0))
    assert advance(timeline, SETTLE)
    assert timeline.watermark == 20
    timeline.hear("one", Heartbeat(60, 0, PATIENCE))
    assert not advance(timeline, PATIENCE)
    assert advance(timeline, PATIENCE + SETTLE)
    assert timeline.watermark == 60


def test_a_gateway_whose_clock_was_set_back_does_not_turn_event_time_back() -> None:
    timeline = Timeline()
    timeline.hear("gw", Heartbeat(50, 0, 0))
    advance(timeline, SETTLE)
    timeline.hear("gw", Heartbeat(10, 0, 200))
    assert not advance(timeline, 200 + SETTLE)
    assert timeline.watermark == 50


def test_facts_are_released_in_order_once_the_watermark_has_passed_them() -> None:
    timeline = Timeline()
    facts = [Fact(at, FactKind.HEARD, "s", "d") for at in (30, 10, 20, 10)]
    assert all(timeline.add(fact) for fact in facts)
    timeline.hear("gw", Heartbeat(20, 0, 0))
    advance(timeline, SETTLE)
    assert [fact.at for fact in timeline.release()] == [10, 20]
    assert not timeline.add(Fact(20, FactKind.SILENT, "s", "d"))
    assert [fact.at for fact in timeline.waiting] == [30]


def test_the_same_fact_under_another_trace_is_the_same_fact() -> None:
    timeline = Timeline()
    timeline.add(Fact(10, FactKind.REBOOTED, "s", "d", trace="b"))
    timeline.add(Fact(10, FactKind.REBOOTED, "s", "d", trace="a"))
    timeline.add(Fact(10, FactKind.REBOOTED, "s", "d", trace="c"))
    assert len(timeline.waiting) == 1


def test_what_waits_is_bounded_and_what_found_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    timeline = Timeline()
    for at in range(1, 6):
        timeline.add(Fact(at, FactKind.HEARD, "s", "d"))
    assert len(timeline.waiting) == 3
    assert timeline.dropped == 2
