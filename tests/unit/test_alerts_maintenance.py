"""Maintenance by local clocks, of the configuration and of people; and a book of alerts that is full."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from analytics.alerts.book import ALERT_BYTES
from analytics.alerts.config import LEAST_ALERT_BYTES
from analytics.alerts.maintenance import MOST_MADE, Maintenance, MaintenanceConfig
from ingest.contract.events import AlertState, AnomalyStatus
from ingest.contract.events.maintenance import MOST_WINDOWS, MaintenanceWindow
from tests.alert_world import FIRING, RESOLVED, T0, TENANT, Fleet, Watched, anomaly, maintenance


def window(**changes: Any) -> MaintenanceConfig:
    known = {"name": "updates", "tenant": TENANT, "matchers": ["site=north"], "at": "02:00", "lasts_s": 7200.0}
    return MaintenanceConfig(**(known | changes))


def is_open(config: MaintenanceConfig, now: int) -> bool:
    opening = config.window().opening(now)
    return opening is not None and opening.start <= now < opening.end


def at(text: str, zone: str = "Europe/Berlin") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_it_is_open_at_its_local_time_on_its_days() -> None:
    saturdays = window(days=["sat"], timezone="Europe/Berlin")
    assert is_open(saturdays, at("2026-11-28 02:00"))
    assert is_open(saturdays, at("2026-11-28 03:59"))
    for other in ("2026-11-28 01:59", "2026-11-28 04:00", "2026-11-27 02:30", "2026-11-29 02:30"):
        assert not is_open(saturdays, at(other))
    assert is_open(saturdays, at("2026-11-28 01:30", "UTC"))


def test_what_begins_before_midnight_goes_on_after_it() -> None:
    nights = window(days=["fri"], at="23:00", lasts_s=3 * 3600.0, timezone="Europe/Berlin")
    assert is_open(nights, at("2026-11-28 01:59"))
    assert not is_open(nights, at("2026-11-28 02:00"))
    assert not is_open(nights, at("2026-11-27 01:00"))
    long = window(days=["mon"], at="00:00", lasts_s=6 * 86_400.0)
    assert is_open(long, at("2026-11-28 12:00", "UTC"))
    assert not is_open(long, at("2026-11-29 12:00", "UTC"))


def test_a_clock_that_is_set_forward_does_not_make_it_shorter() -> None:
    # In Berlin 2026-03-29 has no 02:30; the window lasts two hours of time all the same.
    early = window(days=["sun"], at="01:00", timezone="Europe/Berlin")
    began = at("2026-03-29 01:00")
    assert [is_open(early, began + minutes * 60_000) for minutes in (-1, 0, 119, 120)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"at": "25:00"}, "at is '25:00', expected hh:mm"),
        ({"timezone": "Europe/Nowhere"}, "timezone is 'Europe/Nowhere'"),
        ({"timezone": "../etc"}, "timezone is '../etc'"),
        ({"days": []}, "days is empty"),
        ({"matchers": []}, "matchers is empty"),
        ({"matchers": ["north"]}, "'north' is no matcher"),
        ({"lasts_s": 0.0}, "lasts_s is 0.0"),
        ({"lasts_s": 8 * 86_400.0}, "expected more than 0 and at most a week"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        window(**changes)


def test_in_the_window_nobody_is_told_and_what_still_holds_is_told_when_it_ends() -> None:
    begins = datetime.fromtimestamp(T0 / 1000, ZoneInfo("UTC")).strftime("%H:%M")
    watched = Watched(Fleet(("north", "south")), tick_ms=1000, maintenance=[window(at=begins, lasts_s=120.0)])
    watched.feed(anomaly("a", T0), anomaly("b", T0), anomaly("c", T0, site="south"))
    assert [(one.labels["device"], one.state, one.by) for one in watched.said] == [
        ("a", AlertState.SUPPRESSED, "maintenance:updates"),
        ("b", AlertState.SUPPRESSED, "maintenance:updates"),
        ("c", FIRING, ""),
    ]
    watched.feed(anomaly("a", T0 + 1, AnomalyStatus.LEFT))
    told = [(one.labels["device"], one.state) for one in watched.wait(130) if one.told]
    assert told == [("b", FIRING)]


HELD = (AlertState.SUPPRESSED, "maintenance:w1")
DAY = 86_400_000
# T0 is 2023-11-14, a Tuesday, 22:13:20 UTC: 23:13:20 in Berlin.


def test_a_window_that_somebody_made_comes_again_over_restarts_until_it_is_ended() -> None:
    watched = Watched(Fleet(("north", "south")), tick_ms=1000)
    hours = {"begins": "23:15", "lasts_s": 120.0, "days": ["tue", "wed"], "timezone": "Europe/Berlin"}
    watched.feed(anomaly("a", T0), maintenance("site=north", **hours))
    assert [(one.state, one.by) for one in watched.said] == [(FIRING, "")]
    assert [(one.state, one.by) for one in watched.wait(101)] == [HELD]
    watched.restart()
    watched.feed(anomaly("b", T0), anomaly("c", T0, site="south"))
    assert [(one.labels["device"], one.state) for one in watched.said[2:]] == [("b", HELD[0]), ("c", FIRING)]
    assert {(one.labels["device"], one.state) for one in watched.wait(120)} == {("a", FIRING), ("b", FIRING)}
    watched.now = T0 + DAY
    assert watched.feed() == []
    watched.restart()
    assert {(one.labels["device"], one.state) for one in watched.wait(101)} == {("a", HELD[0]), ("b", HELD[0])}
    ended = maintenance("site=north", at=watched.now, ends_at=watched.now, **hours)
    assert {(one.state, one.reason) for one in watched.feed(ended)} == {(FIRING, "lifted")}
    assert not watched.stage._suppression.maintenance.made


def test_a_window_that_is_once_is_forgotten_when_it_is_over() -> None:
    watched = Watched(Fleet(("north",)), tick_ms=1000)
    once = {"begins": "23:14", "lasts_s": 60.0, "date": "2023-11-14", "timezone": "Europe/Berlin"}
    watched.feed(anomaly("a", T0), maintenance("site=north", **once))
    assert [(one.state, one.by) for one in watched.wait(41)] == [HELD]
    assert [one.state for one in watched.wait(61)] == [FIRING]
    assert not watched.stage._suppression.maintenance.made
    watched.feed(maintenance("site=north", **once))  # what is past already never opens
    assert not watched.stage._suppression.maintenance.made


def test_a_window_is_its_tenants_alone_and_what_cannot_be_read_is_counted() -> None:
    watched = Watched(Fleet(("north",)))
    always = {"begins": "00:00", "lasts_s": 86_400.0}
    watched.feed(maintenance("site=*", tenant="other", **always), anomaly("a", T0))
    assert [one.state for one in watched.said] == [FIRING]
    good = maintenance("site=north", **always)
    bad = msgspec.structs.replace(good, value=(good.value or b"").replace(b"00:00", b"25:00"))
    assert watched.feed(bad) == []
    assert watched.skipped("fleet.maintenance.v1", "malformed") == 1
    assert [(one.state, one.by) for one in watched.feed(good)] == [HELD]


def test_windows_are_bounded_and_no_tenant_takes_anothers_room() -> None:
    kept = Maintenance()
    one = msgspec.json.decode(maintenance("a=b").value or b"", type=MaintenanceWindow)
    kept.take(msgspec.structs.replace(one, tenant="small"))
    for n in range(MOST_WINDOWS + 5):
        kept.take(msgspec.structs.replace(one, id=f"n{n}", at=T0 + n))
    assert next(iter(kept.made.of(TENANT))) == "n5"
    assert len(kept.made) == MOST_WINDOWS + 1
    kept.restore(msgspec.structs.replace(one, tenant=f"t{n % 25}", id=f"w{n}") for n in range(MOST_MADE))
    kept.take(msgspec.structs.replace(one, tenant="small"))
    assert len(kept.made) == MOST_MADE
    assert "w1" in kept.made.of("small")


def test_windows_are_looked_at_again_only_when_one_may_open_or_close(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Maintenance([window(at="22:15", lasts_s=60.0)])
    asked: list[int] = []
    whole = MaintenanceWindow.opening
    monkeypatch.setattr(MaintenanceWindow, "opening", lambda one, now: (asked.append(now), whole(one, now))[1])
    seen = [len(kept.look(T0 + second * 1000)) for second in range(200)]
    assert seen == [0] * 100 + [1] * 60 + [0] * 40
    assert asked == [T0, T0 + 160_000]
    assert kept.look(T0 + 99_000) == frozenset()  # a clock that is set back
    assert len(kept.look(T0 + 100_000)) == 1


def test_a_book_that_is_full_passes_over_what_is_new_and_ends_what_lives() -> None:
    watched = Watched(Fleet(("north",)), alert_bytes=LEAST_ALERT_BYTES)
    watched.feed(*(anomaly(f"d-{n}", T0) for n in range(600)))
    living = len(watched.said)
    assert 300 < living < LEAST_ALERT_BYTES / ALERT_BYTES
    passed = watched.telemetry.registry.get_sample_value("tidegate_alerts_passed_over_total", {"name": "MetricAnomaly"})
    assert passed == 600 - living
    watched.restart()
    watched.feed(anomaly("d-599", T0 + 1))
    assert len(watched.said) == living  # after a restart it is as full as before
    watched.feed(*(anomaly(f"d-{n}", T0 + 2, AnomalyStatus.LEFT) for n in range(3)))
    assert [one.state for one in watched.said[living:]] == [RESOLVED] * 3
    (taken,) = watched.feed(anomaly("d-599", T0 + 3))
    assert (taken.state, taken.labels["device"]) == (FIRING, "d-599")


def test_alerts_of_an_earlier_version_have_a_size() -> None:
    watched = Watched(Fleet(("north",)))
    watched.feed(anomaly("a", T0))
    state = msgspec.msgpack.decode(watched.stage.snapshot()["state"])
    for alert in state["alerts"].values():
        del alert["size"]
    watched.restart({"state": msgspec.msgpack.encode(state)})
    assert [one.state for one in watched.feed(anomaly("a", T0 + 1, AnomalyStatus.LEFT))] == [RESOLVED]
