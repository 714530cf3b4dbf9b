"""Cohorts over sites against their own past: what is found, what is not, and what is remembered."""

from __future__ import annotations

import random

import msgspec
import pytest

from analytics.cohorts.alarms import PATIENCE_SLOTS, RELEARN_SLOTS
from analytics.detect.config import DetectConfig
from analytics.detect.reasons import AnomalyReason
from ingest.contract.events import AnomalyStatus, CohortPart
from tests.cohort_world import (
    CONFIG,
    FIRMWARE,
    HARDWARE,
    LEARNS,
    METRIC,
    SLOT_MS,
    Fleet,
    Site,
    moment,
    said,
    statuses,
)

ENTERED, LEFT = AnomalyStatus.ENTERED, AnomalyStatus.LEFT
SOON = 9
"""Slots within which a shift of half a scale is told."""


def test_a_shift_of_half_a_scale_over_all_sites_is_told_from_beginning_to_end() -> None:
    fleet = Fleet()
    assert fleet.run(LEARNS) == []
    fleet.shift(0.5)
    told = fleet.run(SOON)
    fleet.shift(0.0)
    told += fleet.run(SOON)
    first, last = told[0], told[-1]
    assert statuses(told) == [ENTERED, LEFT]
    assert (first.tenant, first.site, first.device, first.metric) == ("acme", "", "", METRIC)
    assert (first.hardware, first.firmware) == (HARDWARE, FIRMWARE)
    assert first.labels == (("firmware", FIRMWARE), ("hardware", HARDWARE), ("width_ms", "60000"))
    assert (first.detector, first.reason, last.reason) == ("cohort_shift", AnomalyReason.COHORT_SHIFT, "back_to_normal")
    assert (first.sites, first.devices) == (5, 40)
    assert first.value == pytest.approx(0.5, abs=0.1)
    assert first.expected == pytest.approx(0.0, abs=0.1)
    assert first.score >= 0.5
    assert first.tail_probability <= 1e-6
    assert abs(first.since - moment(LEARNS)) <= 2 * SLOT_MS
    assert first.since == last.since
    assert {event.episode for event in told} == {first.episode}


@pytest.mark.parametrize("sites", [[0], [1, 3]])
def test_what_some_sites_suffer_is_no_shift_of_the_cohort(sites: list[int]) -> None:
    fleet, chance = Fleet(), random.Random(1)
    for _ in range(5 * LEARNS):
        for number in sites:
            fleet.shift(chance.choice([0.0, 0.0, 2.0]), [number])
        assert fleet.run(1) == []
    fleet.shift(2.0, sites)
    assert fleet.run(LEARNS) == []


def test_fewer_sites_than_asked_for_say_nothing() -> None:
    fleet = Fleet(sites=4, devices=50)
    fleet.run(LEARNS)
    fleet.shift(2.0)
    assert fleet.run(LEARNS) == []
    assert len(fleet.tenant.charts) == 0


def test_nothing_is_said_before_it_was_seen_for_long_enough() -> None:
    fleet = Fleet()
    fleet.run(40)  # 21 hours
    fleet.shift(1.0)
    assert fleet.run(40) == []


def test_a_firmware_that_is_new_is_held_against_what_was_usual_for_its_devices() -> None:
    fleet = Fleet(devices=20)
    fleet.run(LEARNS)
    for site in fleet.sites:
        site.devices = {FIRMWARE: 15, "2.3.0": 5}
        site.shift["2.3.0"] = 1.0
    told = fleet.run(SOON)
    assert statuses(told) == [ENTERED]
    assert (told[0].firmware, told[0].devices) == ("2.3.0", 25)


def test_a_firmware_that_is_new_and_as_before_is_no_news() -> None:
    fleet = Fleet(devices=20)
    fleet.run(LEARNS)
    for site in fleet.sites:
        site.devices = {FIRMWARE: 15, "2.3.0": 5}
    assert fleet.run(LEARNS) == []


def test_where_each_site_has_a_firmware_of_its_own_their_family_tells() -> None:
    fleet = Fleet()
    for number, site in enumerate(fleet.sites):
        site.devices = {f"1.{number}": 8}
    fleet.run(LEARNS)
    for number, site in enumerate(fleet.sites):
        site.shift[f"1.{number}"] = 1.0
    told = fleet.run(SOON)
    assert statuses(told) == [ENTERED]
    assert (told[0].hardware, told[0].firmware) == (HARDWARE, "")
    assert told[0].labels == (("hardware", HARDWARE), ("width_ms", "60000"))


def test_what_lasts_is_accepted_once_and_its_end_is_no_alarm() -> None:
    fleet = Fleet()
    fleet.run(LEARNS)
    fleet.shift(1.0)
    told = fleet.run(PATIENCE_SLOTS + 3)
    assert statuses(told) == [ENTERED, LEFT]
    assert told[-1].reason == AnomalyReason.NEW_NORMAL
    assert len(told) > PATIENCE_SLOTS // 2
    # Every series learns the shift by itself, over thousands of windows.
    for slot in range(4 * LEARNS):
        fleet.shift(0.992**slot)
        assert fleet.run(1) == []
    fleet.shift(-1.0)
    assert statuses(fleet.run(SOON)) == [ENTERED]


def test_what_was_accepted_and_stays_is_learned_anew_and_then_a_shift_is_told_again() -> None:
    fleet = Fleet()
    fleet.run(LEARNS)
    fleet.shift(1.0)
    fleet.run(PATIENCE_SLOTS + RELEARN_SLOTS)
    begun = [int(at) for at in fleet.tenant.charts.begun]
    assert fleet.run(LEARNS) == []
    assert all(int(at) > before for at, before in zip(fleet.tenant.charts.begun, begun, strict=True))
    fleet.shift(2.0)
    assert statuses(fleet.run(SOON)) == [ENTERED]


def test_what_is_usual_at_an_hour_of_the_day_is_no_alarm() -> None:
    fleet = Fleet()
    for slot in range(8 * 45):
        hour = moment(slot) // 3_600_000 % 24
        fleet.shift(0.8 if 8 <= hour < 18 else -0.4)
        assert fleet.run(1) == []
    fleet.shift(1.6)
    assert statuses(fleet.run(SOON)) == [ENTERED]


def test_a_quiet_fleet_has_no_more_false_alarms_than_asked_for() -> None:
    # So high a rate that some would be seen: one in a hundred slots of a cohort.
    cohorts, slots = 40, 300
    config = msgspec.structs.replace(CONFIG, false_alerts_per_1k_series_day=0.01 * 1000 * 86_400_000 / SLOT_MS)
    fleet = Fleet(devices=3, config=config)
    for site in fleet.sites:
        site.devices = {f"1.{number}": 3 for number in range(cohorts)}
    chance = random.Random(2)
    for _ in range(slots):
        for number in range(5):  # what a site suffers, all its devices do
            shock = chance.choice([0.0, 0.0, 0.0, 0.0, 1.0])
            fleet.sites[number].shift = dict.fromkeys(fleet.sites[number].devices, shock)
        fleet.run(1)
    judged = cohorts * (slots - 90)
    assert sum(event.status is ENTERED for event in fleet.told) <= 0.01 * judged


def test_what_is_said_twice_or_in_any_order_counts_once() -> None:
    plain, mixed, chance = Fleet(), Fleet(), random.Random(3)
    for slot in range(LEARNS + SOON):
        for fleet in (plain, mixed):
            fleet.shift(1.0 if slot >= LEARNS else 0.0)
        plain.run(1)
        events = [site.says(slot) for site in mixed.sites]
        for event in chance.sample(events, len(events)) + events[:2]:
            mixed.told += mixed.tenant.take(event, moment(slot))
    assert mixed.told == plain.told != []
    assert mixed.tenant.charts.dump() == plain.tenant.charts.dump()


def test_a_site_whose_clock_is_ahead_neither_hurries_nor_stops_the_others() -> None:
    fleet, ahead = Fleet(), Site("ahead", 1, {FIRMWARE: 8})
    for slot in range(LEARNS + SOON):
        fleet.shift(1.0 if slot >= LEARNS else 0.0)
        fleet.tenant.take(ahead.says(slot + 1000), moment(slot))
        fleet.run(1)
    assert statuses(fleet.told) == [ENTERED]
    assert fleet.tenant.counts["late"] == 0


def test_partitions_that_are_read_one_after_another_lead_to_the_same() -> None:
    even, uneven, events = Fleet(), Fleet(), []
    for slot in range(LEARNS + SOON):
        for fleet in (even, uneven):
            fleet.shift(1.0 if slot >= LEARNS else 0.0)
        even.run(1)
        events += [site.says(slot) for site in uneven.sites]
    for event in events[:5]:
        uneven.tenant.take(event, event.at)
    for first in range(5, len(events), 5 * 20):  # after an outage: twenty slots of three sites, then of two
        some, now = events[first : first + 5 * 20], moment(first)
        for event in sorted(some, key=lambda one: one.site in ("site-1", "site-4")):
            uneven.told += uneven.tenant.take(event, now)
    assert uneven.told == even.told != []
    assert uneven.tenant.counts["late"] == 0


def test_a_site_that_has_gone_dark_is_not_waited_for_for_long() -> None:
    fleet = Fleet(6)
    fleet.run(LEARNS)
    del fleet.sites[0]
    fleet.shift(1.0)
    assert statuses(fleet.run(SOON + 1)) == [ENTERED]


def test_what_comes_after_its_slot_was_decided_is_counted_and_changes_nothing() -> None:
    fleet = Fleet()
    fleet.run(LEARNS)
    before = fleet.tenant.charts.dump()
    assert fleet.tenant.take(Site("late", 1, {FIRMWARE: 8}).says(LEARNS - 3), moment(LEARNS)) == []
    assert fleet.tenant.counts["late"] == 1
    assert fleet.tenant.charts.dump() == before


def test_a_cohort_that_is_silent_is_forgotten_and_its_alarm_ends() -> None:
    fleet = Fleet()
    fleet.run(LEARNS)
    fleet.shift(1.0)
    assert statuses(fleet.run(SOON)) == [ENTERED]
    for site in fleet.sites:
        site.devices = {"other": 8}
    told = fleet.run(LEARNS)
    assert statuses(told) == [LEFT]
    assert (told[-1].reason, told[-1].since) == (AnomalyReason.FORGOTTEN, fleet.told[0].since)
    assert {name.firmware for name in fleet.tenant.charts.names} == {"", "other"}


def test_cohorts_are_bounded() -> None:
    fleet = Fleet(config=DetectConfig(max_cohorts=10))
    for site in fleet.sites:
        site.devices = {f"1.{number}": 2 for number in range(30)}
    fleet.run(3)
    assert len(fleet.tenant.charts) == 10
    assert fleet.tenant.counts["no_room"] == 2 * 21


def test_what_waits_is_bounded() -> None:
    fleet = Fleet()
    for slot in range(100):  # nobody else goes on
        fleet.tenant.take(said("alone", slot, [CohortPart(METRIC, HARDWARE, FIRMWARE, 1, 0.0, 0.0)]), moment(slot))
        for width in range(1, 30):
            part = CohortPart(METRIC, HARDWARE, FIRMWARE, 1, 0.0, 0.0)
            fleet.tenant.take(said("alone", slot, [part], width=width), moment(slot))
    assert fleet.tenant.counts["full"] == 100 * (30 - 16)
    assert len(fleet.tenant.dump()) < 200_000
