"""What becomes one incident and what does not, what is said of it, and how often people hear of it."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from analytics.incidents.config import IncidentsConfig
from tests.incident_world import (
    GROWING,
    MERGED,
    OPEN,
    RESOLVED,
    T0,
    Told,
    alarm,
    cohort,
    dark,
    device,
    devices_of,
    kinds,
    over,
)

MINUTE = 60_000


def test_a_release_on_one_revision_is_one_incident_that_names_it() -> None:
    told, ill = Told(), devices_of("2.3.0", "rev-b")
    told.feed(*(alarm(number, T0 + MINUTE) for number in ill), alarm(5, T0 + MINUTE), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    large, single = sorted(told.people_hear(), key=lambda event: -event.devices)
    assert (large.state, large.reason, large.devices, large.sites, large.series, large.told) == (
        GROWING,
        "opened",
        40,
        10,
        40,
        1,
    )
    assert large.cause[0].attributes == {"hardware": "rev-b", "firmware": "2.3.0"}
    assert large.cause[0].sentence == "firmware 2.3.0 on rev-b: 100 % of the affected, 8 % of the fleet"
    assert large.summary == f"memory high on 40 devices at 10 sites; {large.cause[0].sentence}"
    assert (single.state, single.devices, single.affected[0].device) == (OPEN, 1, "d5")
    assert single.summary == "memory high on d5 at site-5 (firmware 2.3.0, hardware rev-a): 60, expected 40"


def test_unlike_causes_at_the_same_time_stay_apart() -> None:
    told = Told()
    release, site = devices_of("2.3.0", "rev-b"), devices_of("site-3")
    both = [alarm(number, T0 + MINUTE) for number in release]
    both += [
        alarm(number, T0 + MINUTE) for number in site if number not in release
    ]  # the same metric at the same moment
    told.feed(*both, at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    assert [event.cause[0].attributes for event in sorted(told.people_hear(), key=lambda event: event.devices)] == [
        {"hardware": "rev-b", "firmware": "2.3.0"},
        {"site": "site-3"},
    ]


def test_ten_thousand_devices_are_one_notification() -> None:
    told = Told(devices=20_000)
    ill = [number for number in range(20_000) if kinds(number)[1] == "pumps"]
    told.feed(*(alarm(number, T0 + MINUTE) for number in ill), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    told.feed(*(over(number, T0 + 2 * MINUTE) for number in ill), at=T0 + 2 * MINUTE)
    told.until(T0 + 3 * MINUTE)
    opened, resolved = told.people_hear()
    assert (opened.devices, opened.cause[0].attributes, len(opened.affected), opened.left_out) == (
        10_000,
        {"group": "pumps"},
        100,
        9900,
    )
    assert (resolved.incident, resolved.state, resolved.active) == (opened.incident, RESOLVED, 0)
    assert resolved.ended == T0 + 2 * MINUTE + 30_000


def test_what_spreads_is_told_again_when_it_means_more_and_no_more_often_than_asked() -> None:
    told, ill = Told(), devices_of("2.3.0")
    random.Random(1).shuffle(ill)
    for place, number in enumerate(ill):  # 160 devices, one every ten seconds
        told.feed(alarm(number, T0 + place * 10_000), at=T0 + place * 10_000)
    told.until(T0 + 160 * 10_000)
    first, second, merged, *later = told.people_hear()
    assert [first.reason, second.reason, merged.reason] == ["opened", "opened", "merged"]
    assert (merged.incident, merged.merged_into, merged.devices) == (second.incident, first.incident, 1)
    assert [(event.reason, event.devices) for event in later] == [("grew", 10), ("cause", 16), ("grew", 160)]
    assert {event.incident for event in later} == {first.incident}
    assert all(after.at - before.at >= MINUTE for before, after in pairwise([first, *later]))
    (one,) = (event for event in told.last().values() if event.state in (OPEN, GROWING))
    assert (one.devices, one.cause[0].attributes) == (160, {"firmware": "2.3.0"})


def test_what_nothing_but_the_moment_joins_is_one() -> None:
    told = Told()
    ill = [7, 64, 131, 202, 318]
    told.feed(*(alarm(number, T0 + MINUTE + 5000 * place) for place, number in enumerate(ill)), at=T0 + 2 * MINUTE)
    told.feed(alarm(400, T0 + MINUTE, "voltage"), at=T0 + 2 * MINUTE)
    told.until(T0 + 2 * MINUTE)
    devices = sorted(event.devices for event in told.last().values() if event.state is not MERGED)
    assert devices == [1, 5]
    assert all(not event.summary.count(";") for event in told.events)


def test_a_devices_own_fault_is_one_incident_with_its_root_metric_first() -> None:
    told = Told()
    told.feed(
        alarm(1, T0 + 70_000, "latency", value=90.0), alarm(1, T0 + MINUTE, "voltage", value=30.0), at=T0 + 71_000
    )
    told.feed(alarm(1, T0 + 90_000, "memory"), alarm(1, T0 + 300_000, "disk"), at=T0 + 300_000)
    told.until(T0 + 300_000)
    first, later = sorted(told.last().values(), key=lambda event: event.since)
    assert (first.root_cause, first.series) == ("voltage", 3)
    assert [(one.metric, one.above) for one in first.symptoms] == [
        ("voltage", False),
        ("latency", True),
        ("memory", True),
    ]
    assert later.root_cause == "disk"


def test_of_metrics_that_begin_at_once_the_farthest_off_is_the_root() -> None:
    told = Told()
    told.feed(alarm(1, T0 + MINUTE, "cpu", value=44.0), alarm(1, T0 + MINUTE, "memory", value=90.0), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    assert told.events[0].root_cause == "memory"
    assert told.events[0].symptoms[0].deviation == 25.0


def test_a_dark_site_is_one_with_its_silent_devices() -> None:
    told = Told()
    told.feed(*(device(number, T0 + MINUTE, silent=True) for number in devices_of("site-3")), at=T0 + MINUTE)
    told.feed(dark("site-3", T0 + MINUTE + 3000), at=T0 + MINUTE + 3000)
    told.until(T0 + 3 * MINUTE)
    (one,) = (event for event in told.last().values() if event.state is not MERGED)
    assert (one.devices, one.sites, one.cause[0].attributes) == (49, 1, {"site": "site-3"})
    assert one.root_cause == "silence"
    assert len([event for event in told.people_hear() if event.reason == "opened"]) <= 2


def test_silence_after_darkness_is_part_of_it() -> None:
    told = Told()
    told.feed(dark("site-3", T0 + MINUTE), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    told.feed(*(device(number, T0 + 2 * MINUTE, silent=True) for number in devices_of("site-3")), at=T0 + 2 * MINUTE)
    told.until(T0 + 2 * MINUTE)
    assert len(told.people_hear()) == 1
    assert told.people_hear()[0].summary == "nothing has been heard of site-3 (gw-site-3)"
    told.feed(dark("site-3", T0 + 3 * MINUTE, active=False), at=T0 + 3 * MINUTE)
    told.feed(*(device(number, T0 + 3 * MINUTE) for number in devices_of("site-3")), at=T0 + 3 * MINUTE)
    told.until(T0 + 4 * MINUTE)
    assert told.events[-1].state is RESOLVED


def test_who_comes_back_within_the_time_is_the_same_incident() -> None:
    told = Told()
    told.feed(alarm(1, T0 + MINUTE), at=T0 + MINUTE)
    told.feed(over(1, T0 + MINUTE + 5000), at=T0 + MINUTE + 5000)
    told.feed(alarm(1, T0 + MINUTE + 20_000), at=T0 + MINUTE + 20_000)
    told.until(T0 + 2 * MINUTE)
    assert {event.state for event in told.events} == {OPEN}
    told.feed(over(1, T0 + 3 * MINUTE), at=T0 + 3 * MINUTE)
    told.until(T0 + 4 * MINUTE)
    told.feed(alarm(1, T0 + 5 * MINUTE), at=T0 + 5 * MINUTE)
    told.until(T0 + 5 * MINUTE)
    assert [event.reason for event in told.people_hear()] == ["opened", "resolved", "opened"]
    assert len(told.last()) == 2


def test_a_retired_device_ends_what_is_said_of_it() -> None:
    told = Told()
    told.feed(alarm(1, T0 + MINUTE), device(1, T0 + MINUTE, silent=True), at=T0 + MINUTE)
    told.feed(device(1, T0 + 2 * MINUTE, retired=True), at=T0 + 2 * MINUTE)
    told.until(T0 + 3 * MINUTE)
    assert told.events[-1].state is RESOLVED


def test_what_the_log_holds_twice_changes_nothing() -> None:
    once, twice = Told(), Told()
    said = [alarm(1, T0 + MINUTE), alarm(2, T0 + MINUTE), over(1, T0 + 2 * MINUTE)]
    for signal in said:
        once.feed(signal, at=signal.at)
        twice.feed(signal, signal, at=signal.at)
    twice.feed(said[0], said[1], at=T0 + 2 * MINUTE)
    for told in (once, twice):
        told.until(T0 + 2 * MINUTE + 10_000)
    assert [event.reason for event in twice.people_hear()] == [event.reason for event in once.people_hear()]
    assert {name: event.active for name, event in twice.last().items()} == {
        name: event.active for name, event in once.last().items()
    }


def test_beyond_its_bounds_series_are_counted_and_nothing_stops() -> None:
    told = Told(devices=10, incident_bytes=1 << 20)
    told.feed(*(alarm(number, T0 + MINUTE) for number in range(2000)), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    held = sum(event.series for event in told.last().values() if event.state is not MERGED)
    assert held == (1 << 20) // 900
    assert told.tenant.full == 2000 - held
    small = Told(devices=20_000, fleet_bytes=1 << 20)
    small.until(T0)
    assert small.tenant.full > 0
    assert len(small.tenant.fleet) + small.tenant.full == 20_000


def test_mistakes_in_the_configuration_are_named() -> None:
    with pytest.raises(ValueError, match="settle_s"):
        IncidentsConfig(settle_s=-1.0)
    with pytest.raises(ValueError, match="incident_bytes"):
        IncidentsConfig(incident_bytes=1000)


def test_the_record_of_what_ended_long_ago_is_removed() -> None:
    told, month = Told(), 30 * 86_400_000
    told.feed(alarm(1, T0 + MINUTE), over(1, T0 + MINUTE + 5000), at=T0 + MINUTE)
    told.until(T0 + 2 * MINUTE)
    (name,) = told.last()
    assert told.tenant.forgotten() == []
    told.until(T0 + month)
    assert told.tenant.forgotten() == []
    told.until(T0 + month + 3 * MINUTE)
    assert told.tenant.forgotten() == [name]
    assert told.tenant.forgotten() == []


def test_a_cohort_that_has_shifted_is_an_incident_that_names_class_and_metric() -> None:
    told = Told()
    told.feed(cohort(T0 + MINUTE), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    (opened,) = told.people_hear()
    assert (opened.devices, opened.sites, opened.series, opened.root_cause) == (40, 10, 1, "memory")
    assert opened.summary == (
        "memory high on hardware rev-b with firmware 2.3.0 as a whole, 40 series at 10 sites: +1 of their own scales"
    )
    assert opened.cause_sentence == "hardware rev-b with firmware 2.3.0 as a whole"
    assert (opened.affected[0].hardware, opened.affected[0].sites, opened.affected[0].devices) == ("rev-b", 10, 40)
    told.feed(cohort(T0 + 2 * MINUTE, active=False), at=T0 + 2 * MINUTE)
    told.until(T0 + 3 * MINUTE)
    assert [event.state for event in told.people_hear()] == [OPEN, RESOLVED]
    assert len(told.tenant.fleet) == 480


def test_devices_of_a_cohort_that_alarm_by_themselves_join_its_incident() -> None:
    told, ill = Told(), devices_of("2.3.0", "rev-b")
    told.feed(cohort(T0 + MINUTE), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    told.feed(*(alarm(number, T0 + 2 * MINUTE) for number in ill), alarm(5, T0 + 2 * MINUTE), at=T0 + 2 * MINUTE)
    told.until(T0 + 4 * MINUTE)
    large, single = sorted(told.last().values(), key=lambda event: -event.devices)
    assert (large.devices, large.sites, large.series) == (40, 10, 41)
    assert large.cause[0].attributes == {"hardware": "rev-b", "firmware": "2.3.0"}
    assert large.summary.startswith("memory high on 40 devices at 10 sites; firmware 2.3.0 on rev-b")
    assert single.affected[0].device == "d5"


def test_a_cohort_joins_the_incident_that_its_devices_have_begun() -> None:
    told, ill = Told(), devices_of("2.3.0", "rev-b")
    told.feed(*(alarm(number, T0 + MINUTE) for number in ill), at=T0 + MINUTE)
    told.until(T0 + MINUTE)
    told.feed(cohort(T0 + 2 * MINUTE), cohort(T0 + 2 * MINUTE, firmware="2.2.0"), at=T0 + 2 * MINUTE)
    told.until(T0 + 4 * MINUTE)
    assert sorted((event.devices, event.series) for event in told.last().values()) == [(40, 1), (40, 41)]
