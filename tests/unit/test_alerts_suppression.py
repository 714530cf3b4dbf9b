"""What nobody is told of: silences, maintenance windows, devices behind a dark site, what somebody looks after, flapping."""

from __future__ import annotations

import random

import msgspec
import pytest

from analytics.alerts import rules
from analytics.alerts.config import FlapConfig, RuleConfig
from analytics.alerts.matching import matcher_text, matches, read_matcher
from ingest.contract.events import AlertEvent, AlertState, AnomalyStatus
from ingest.contract.events.alarms import MOST_SILENCES
from ingest.contract.topics import ALERT_HISTORY, ALERTS
from ingest.runtime.gateways import GatewayConfig, Gateways
from tests.alert_world import (
    FIRING,
    RESOLVED,
    T0,
    Fleet,
    Gateway,
    Watched,
    acknowledged,
    anomaly,
    silence,
    states,
    taken,
)

SUPPRESSED, ACKNOWLEDGED = AlertState.SUPPRESSED, AlertState.ACKNOWLEDGED


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(("north", "south"), per_site=3)


def left(device: str, at: int) -> object:
    return anomaly(device, at, AnomalyStatus.LEFT)


def told(changes: list[AlertEvent]) -> list[tuple[AlertState, str]]:
    return [(change.state, change.labels.get("device", "")) for change in changes if change.told]


def test_a_silence_holds_back_what_it_matches_and_its_end_tells_what_still_holds(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(silence("device=north-0[12]", "metric=mem*", starts_at=T0, ends_at=T0 + 10_000))
    muted = watched.feed(*(anomaly(f"north-0{n}", T0) for n in range(1, 4)))
    assert [(c.state, c.told, c.by) for c in muted] == [
        (SUPPRESSED, False, "silence:s1"),
        (SUPPRESSED, False, "silence:s1"),
        (FIRING, True, ""),
    ]
    (quiet,) = watched.feed(left("north-01", T0 + 1))
    assert (quiet.state, quiet.told) == (RESOLVED, False)
    spoken = watched.wait(10)
    assert told(spoken) == [(FIRING, "north-02")]
    assert spoken[0].starts_at == T0  # it has been so since then
    assert told(watched.feed(left("north-02", T0 + 2))) == [(RESOLVED, "north-02")]


def test_what_was_told_before_a_silence_is_told_to_be_over_during_it(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(anomaly("north-01", T0))
    (held,) = watched.feed(silence("site=north", starts_at=T0, ends_at=T0 + 60_000, kind="maintenance"))
    assert (held.state, held.told, held.by, held.reason) == (SUPPRESSED, True, "maintenance:s1", "suppressed")
    assert told(watched.feed(left("north-01", T0 + 1))) == [(RESOLVED, "north-01")]


def test_a_silence_can_begin_later_end_early_and_is_its_tenants_alone(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(anomaly("north-01", T0))
    assert not watched.feed(silence("site=north", starts_at=T0 + 5000, ends_at=T0 + 60_000))
    assert not watched.feed(silence("site=*", starts_at=T0, ends_at=T0 + 60_000, name="s2", tenant="other"))
    assert [c.state for c in watched.wait(5)] == [SUPPRESSED]
    ended = silence("site=north", starts_at=T0 + 5000, ends_at=watched.now)
    assert [(c.state, c.reason) for c in watched.feed(ended)] == [(FIRING, "lifted")]


def test_silences_last_over_a_restart_and_are_forgotten_when_they_are_over(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(silence("site=north", starts_at=T0, ends_at=T0 + 60_000))
    watched.restart()
    assert [c.state for c in watched.feed(anomaly("north-01", T0))] == [SUPPRESSED]
    assert [c.state for c in watched.wait(60)] == [FIRING]
    assert not watched.stage._suppression.silences


def test_silences_are_bounded_and_no_tenant_takes_anothers_room(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(silence("site=north", starts_at=T0, ends_at=T0 + 60_000))
    many = range(MOST_SILENCES + 5)
    watched.feed(*(silence("a=b", starts_at=T0, ends_at=T0 + 90_000 + n, name=f"n{n}", tenant="many") for n in many))
    kept = watched.stage._suppression.silences
    assert len(kept) == MOST_SILENCES + 1
    assert {f"n{n}" for n in many} - kept.of("many").keys() == {f"n{n}" for n in range(5)}
    watched.feed(silence("site=*", starts_at=T0, ends_at=T0 + 90_000, name="s1", tenant="many"))  # of the same name
    assert [c.by for c in watched.feed(anomaly("north-01", T0))] == ["silence:s1"]
    watched.restart()
    assert len(watched.stage._suppression.silences) == MOST_SILENCES + 1
    assert [c.by for c in watched.feed(anomaly("north-02", T0))] == ["silence:s1"]


def test_devices_of_a_site_that_is_back_have_time_to_be_heard_before_anybody_is_told(fleet: Fleet) -> None:
    watched = Watched(fleet, site_dark_s=5.0, after_dark_s=30.0)
    gateway = Gateway(fleet)
    watched.feed(gateway.beat(T0))
    watched.wait(5.4)
    watched.feed(anomaly("north-01", T0), anomaly("north-02", T0), anomaly("south-01", T0, site="south"))
    assert told(watched.said) == [(FIRING, ""), (FIRING, "south-01")]
    watched.feed(gateway.beat(watched.now))
    watched.restart()
    watched.feed(left("north-01", T0 + 1))
    assert told(watched.said[4:]) == [(RESOLVED, "")]
    for _ in range(31):
        watched.wait(1)
        watched.feed(gateway.beat(watched.now))
    assert told(watched.said[4:]) == [(RESOLVED, ""), (FIRING, "north-02")]


def test_a_site_is_dark_when_none_of_its_gateways_is_heard(fleet: Fleet) -> None:
    (other,) = Fleet(("north",)).gateways  # with a key of its own
    second = GatewayConfig(**(msgspec.structs.asdict(other) | {"gateway": "gw-north-2"}))
    fleet.gateways = Gateways([*fleet.gateways, second])
    watched = Watched(fleet, site_dark_s=5.0)
    watched.feed(Gateway(fleet).beat(T0))
    watched.wait(5.4)
    assert states(watched.said) == [(rules.SITE_DARK, FIRING)]
    assert told(watched.feed(anomaly("north-01", T0))) == [(FIRING, "north-01")]


def test_somebody_looks_after_an_alert_until_it_ends_or_they_take_it_back(fleet: Fleet) -> None:
    watched = Watched(fleet)
    (fired,) = watched.feed(anomaly("north-01", T0))
    other_life = msgspec.structs.replace(fired, starts_at=T0 + 1)
    foreign = msgspec.structs.replace(fired, tenant="other")
    assert not watched.feed(acknowledged(other_life), acknowledged(foreign))
    (theirs,) = watched.feed(acknowledged(fired))
    assert (theirs.state, theirs.by, theirs.starts_at) == (ACKNOWLEDGED, "ada", fired.starts_at)
    watched.restart()
    assert not watched.wait(1)
    (back,) = watched.feed(acknowledged(fired, by="bob", withdrawn=True))
    assert (back.state, back.by, back.reason) == (FIRING, "bob", "unacknowledged")
    watched.feed(acknowledged(fired))
    (ended,) = watched.feed(left("north-01", T0 + 1))
    assert (ended.state, ended.by) == (RESOLVED, "")
    assert [c.state for c in watched.feed(anomaly("north-01", T0 + 2))] == [FIRING]


def test_what_flaps_says_so_and_is_told_seldom(fleet: Fleet) -> None:
    watched = Watched(fleet, flapping=FlapConfig(times=3, window_s=600, quiet_s=60))
    for n in range(100):
        watched.feed(anomaly("north-01", T0 + n, AnomalyStatus.LEFT if n % 2 else AnomalyStatus.ENTERED))
        watched.wait(1)
    assert [c.state for c in watched.said] == [FIRING, RESOLVED] * 2 + [FIRING]
    assert (watched.said[-1].flapping, watched.said[-1].reason) == (True, "flapped")
    assert "fired 3 times within 600 s" in watched.said[-1].annotations["flapping"]
    assert not watched.said[0].flapping
    assert "flapping" not in watched.said[0].annotations
    watched.restart()
    watched.wait(61)
    assert watched.said[-1].state is RESOLVED


def test_every_change_is_in_the_history_too(fleet: Fleet) -> None:
    watched = Watched(fleet)
    result = watched.stage.step([taken(anomaly("north-01", T0)), taken(left("north-01", T0 + 1))], T0)
    values = {topic: [r.value for r in result.outgoing if r.topic == topic] for topic in (ALERTS, ALERT_HISTORY)}
    assert len(values[ALERTS]) == 2
    assert values[ALERTS] == values[ALERT_HISTORY]


def test_matchers_are_patterns_and_say_what_is_wrong_with_them() -> None:
    labels = {"site": "north", "device": "pump-7"}
    for text, expected in {
        "site=north": True,
        "device=pump-*": True,
        "device!=pump-*": False,
        "metric=": True,
        "metric!=": False,
        "site = no?th": True,
    }.items():
        matcher = read_matcher(text)
        assert matches([matcher], labels) is expected
        assert read_matcher(matcher_text(matcher)) == matcher
    for text in ("site", "=north", "a b=c", "site~=x"):
        with pytest.raises(ValueError, match="expected label=pattern"):
            read_matcher(text)


@pytest.mark.parametrize("seed", range(20))
def test_in_any_course_of_silences_and_people_each_life_is_told_whole_or_not_at_all(fleet: Fleet, seed: int) -> None:
    chance = random.Random(seed)
    rule = RuleConfig(for_s=chance.choice([0.0, 1.0]), keep_firing_s=chance.choice([0.0, 2.0]))
    watched = Watched(fleet, metric_anomaly=rule, site_dark_s=3.0, after_dark_s=2.0)
    gateway = Gateway(fleet)
    for n in range(150):
        watched.wait(chance.uniform(0.2, 1.5))
        device = f"north-0{chance.randint(1, 3)}"
        act = chance.choice(["alarm", "alarm", "silence", "acknowledge", "beat", "beat", "restart"])
        if act == "alarm":
            watched.feed(anomaly(device, T0 + n, chance.choice([AnomalyStatus.ENTERED, AnomalyStatus.LEFT])))
        elif act == "silence":
            end = watched.now + chance.randint(0, 5000)
            watched.feed(silence(f"device={device}", starts_at=watched.now, ends_at=end))
        elif act == "acknowledge" and watched.said:
            watched.feed(acknowledged(chance.choice(watched.said), withdrawn=chance.random() < 0.5))
        elif act == "beat":
            watched.feed(gateway.beat(watched.now))
        elif act == "restart":
            watched.restart()
    for life in {(change.fingerprint, change.starts_at) for change in watched.said if change.starts_at}:
        ours = [c for c in watched.said if (c.fingerprint, c.starts_at) == life]
        spoken = [c.state for c in ours if c.told and c.state in {FIRING, RESOLVED}]
        ended = ours[-1].state is RESOLVED
        if any(c.state is FIRING for c in ours):
            assert spoken[0] is FIRING
            assert spoken[-1] is (RESOLVED if ended else spoken[-1])
        else:
            assert not [c for c in ours if c.told]
