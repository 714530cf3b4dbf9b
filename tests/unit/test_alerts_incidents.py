"""Receivers hear of incidents, not of each series and device: once, again when it means more, and of the end."""

from __future__ import annotations

import pytest

from analytics.alerts import rules
from analytics.alerts.config import RuleConfig
from ingest.contract.events import AlertEvent, AlertState, AnomalyStatus, IncidentState, Symptom
from tests.alert_world import FIRING, RESOLVED, T0, Fleet, Gateway, Watched, anomaly, incident, silence, states

DARK = [Symptom(metric="site_dark", above=True, devices=1, first_on=1, since=T0, deviation=1e9)]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(("north", "south"), per_site=3)


def told(changes: list[AlertEvent]) -> list[tuple[str, AlertState]]:
    return states([change for change in changes if change.told])


def test_ten_thousand_devices_are_one_notification_and_one_that_it_is_over(fleet: Fleet) -> None:
    watched, gateway = Watched(fleet, notify_each=False), Gateway(fleet)
    devices = [f"d{number}" for number in range(10_000)]
    fired = watched.feed(*(anomaly(device, T0) for device in devices), gateway.silent("north-02", T0))
    fired += watched.feed(incident(1, devices=10_001))
    assert len(fired) == 10_002
    assert told(fired) == [(rules.INCIDENT, FIRING)]
    assert fired[-1].annotations["cause"] == "hardware rev-b: 100 % of the affected, 8 % of the fleet"
    assert fired[-1].numbers == {"devices": 10_001.0, "sites": 1.0, "series": 2.0, "active": 2.0}
    ended = watched.feed(*(anomaly(device, T0 + 1, AnomalyStatus.LEFT) for device in devices))
    ended += watched.feed(incident(2, state=IncidentState.RESOLVED, active=0))
    assert told(ended) == [(rules.INCIDENT, RESOLVED)]


def test_people_hear_again_when_it_means_more(fleet: Fleet) -> None:
    watched = Watched(fleet, notify_each=False)
    (first,) = watched.feed(incident(1))
    assert watched.feed(incident(2, devices=9)) == []  # numbers alone
    (more,) = watched.feed(incident(3, devices=40, told=2, summary="of 40 devices"))
    assert (more.state, more.reason, more.annotations["summary"]) == (FIRING, "told_again", "of 40 devices")
    assert more.starts_at == first.starts_at
    assert len({first.idempotency_key(), more.idempotency_key()}) == 2
    assert watched.feed(incident(3, devices=40, told=2), incident(1)) == []  # what the log holds twice
    watched.restart()
    assert watched.feed(incident(3, devices=40, told=2)) == []
    (ended,) = watched.feed(incident(4, state=IncidentState.MERGED, told=3, merged_into="inc-0"))
    assert ended.state is RESOLVED
    assert watched.feed(incident(1)) == []


def test_of_a_dark_site_its_own_alert_tells(fleet: Fleet) -> None:
    watched = Watched(fleet, notify_each=False)
    assert watched.feed(incident(1, symptoms=DARK)) == []
    (fired,) = watched.feed(incident(1, incident="inc-2"))
    (over,) = watched.feed(incident(2, incident="inc-2", symptoms=DARK))  # it turned out to be that
    assert (fired.fingerprint, over.state) == (over.fingerprint, RESOLVED)


def test_a_silence_on_what_all_of_it_have_in_common_silences_it(fleet: Fleet) -> None:
    watched = Watched(fleet, notify_each=False)
    watched.feed(silence("site=north", "metric=mem*", starts_at=T0, ends_at=T0 + 60_000))
    (held,) = watched.feed(incident(1))
    assert (held.state, held.told) == (AlertState.SUPPRESSED, False)
    (elsewhere,) = watched.feed(incident(1, incident="inc-2", sites=2, affected=[]))
    assert elsewhere.told


def test_who_wants_to_hear_of_each_hears_of_each_and_of_the_incident(fleet: Fleet) -> None:
    watched = Watched(fleet, notify_each=True)
    assert told(watched.feed(anomaly("north-01", T0), incident(1))) == [
        (rules.METRIC_ANOMALY, FIRING),
        (rules.INCIDENT, FIRING),
    ]
    without = Watched(fleet, notify_each=False, incident=RuleConfig(enabled=False))
    assert told(without.feed(anomaly("north-01", T0), incident(1))) == [(rules.METRIC_ANOMALY, FIRING)]


def test_of_what_people_were_told_the_end_is_told_too_whatever_is_configured_since(fleet: Fleet) -> None:
    watched = Watched(fleet, notify_each=True)
    watched.feed(anomaly("north-01", T0))
    parts = dict(watched.stage.snapshot())
    again = Watched(fleet, notify_each=False)
    again.restart(parts)
    assert told(again.feed(anomaly("north-01", T0 + 1, AnomalyStatus.LEFT))) == [(rules.METRIC_ANOMALY, RESOLVED)]
