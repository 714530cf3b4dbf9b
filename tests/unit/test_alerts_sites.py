"""A dark site is one alert, and silence of the process itself, of its clock or of a backlog makes none."""

from __future__ import annotations

import pytest

from analytics.alerts import rules
from analytics.alerts.sites import BACKLOG
from ingest.contract.events import (
    AnomalyStatus,
)
from tests.alert_world import (
    FIRING,
    RESOLVED,
    T0,
    Fleet,
    Gateway,
    Watched,
    anomaly,
    states,
)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(("north", "south"), per_site=3)


@pytest.fixture
def gateway(fleet: Fleet) -> Gateway:
    return Gateway(fleet)


def test_a_dark_site_is_one_alert_whatever_the_number_of_its_devices(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet, site_dark_s=5.0)
    watched.feed(*fleet.everyone(T0), gateway.beat(T0), Gateway(fleet, "south").beat(T0))
    for _ in range(20):
        assert not watched.wait(1)
        watched.feed(gateway.beat(watched.now), Gateway(fleet, "south").beat(watched.now))
    for _ in range(20):
        watched.wait(1)
        watched.feed(gateway.beat(watched.now))
    (dark,) = watched.said
    assert (dark.name, dark.state, dark.severity) == (rules.SITE_DARK, FIRING, "critical")
    assert dark.labels == {"site": "south", "gateway": "gw-south"}
    assert dark.numbers["silent_for_s"] == pytest.approx(5.2)
    (heard,) = watched.feed(Gateway(fleet, "south").beat(watched.now))
    assert (heard.state, heard.fingerprint) == (RESOLVED, dark.fingerprint)


def test_a_site_is_not_dark_because_this_process_was_away(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet, site_dark_s=5.0)
    watched.feed(gateway.beat(T0))
    watched.absent(3600)  # the log was away, or the process stood still
    assert not watched.wait(4)
    watched.restart()
    watched.absent(3600)
    assert not watched.wait(4)
    assert states(watched.wait(4)) == [(rules.SITE_DARK, FIRING)]


def test_a_dark_site_stays_dark_over_a_restart_until_it_is_heard(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet, site_dark_s=5.0)
    watched.feed(gateway.beat(T0))
    watched.wait(6)
    assert len(watched.said) == 1
    watched.restart()
    watched.absent(60)
    assert not watched.wait(10)
    assert states(watched.feed(gateway.beat(watched.now))) == [(rules.SITE_DARK, RESOLVED)]


def test_nobody_is_dark_while_a_backlog_is_read(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet, site_dark_s=5.0)
    watched.feed(gateway.beat(T0))
    backlog = [anomaly("north-01", T0 + n, AnomalyStatus.LEFT) for n in range(BACKLOG)]
    for _ in range(10):
        watched.now += 1000
        assert not watched.feed(*backlog)
    assert len(watched.wait(6)) == 1


def test_a_clock_that_is_set_back_makes_nobody_dark_and_hides_nobody(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet, site_dark_s=5.0)
    watched.feed(gateway.beat(T0))
    watched.now -= 3_600_000
    assert not watched.wait(4)
    assert len(watched.wait(3)) == 1
