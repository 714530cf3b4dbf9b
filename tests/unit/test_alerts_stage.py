"""Which alerts begin and end, by what devices, detectors and the registry say; a restart at any moment changes nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.alerts import rules
from analytics.alerts.config import RuleConfig
from ingest.contract.events import (
    AlertEvent,
    AnomalyStatus,
)
from ingest.contract.records import Outgoing
from ingest.contract.topics import ANOMALIES, DEVICES
from ingest.runtime.gateways import GatewayConfig, Gateways
from tests.alert_world import (
    FIRING,
    RESOLVED,
    T0,
    TRACE,
    Fleet,
    Gateway,
    Watched,
    account,
    anomaly,
    cohort_shift,
    incident,
    states,
    taken,
    verdict,
)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(("north", "south"), per_site=3)


@pytest.fixture
def gateway(fleet: Fleet) -> Gateway:
    return Gateway(fleet)


def test_an_anomaly_alerts_until_it_is_left(fleet: Fleet) -> None:
    watched = Watched(fleet)
    (fired,) = watched.feed(anomaly("north-01", T0))
    assert (fired.name, fired.state, fired.severity) == (rules.METRIC_ANOMALY, FIRING, "warning")
    assert fired.labels == {"site": "north", "device": "north-01", "metric": "memory", "label_core-id": "0"}
    band = {"low": 35.0, "high": 47.0}
    assert fired.numbers == {"value": 97.5, "expected": 41.0, "scale": 2.0, "score": 0.99, "since_ms": T0} | band
    summary = "memory of north-01 is 97.5, expected 41 (firmware 2.3.0, hardware rev-b)"
    assert fired.annotations["summary"] == summary
    assert not watched.feed(anomaly("north-01", T0 + 1000, AnomalyStatus.CONTINUES))
    (resolved,) = watched.feed(anomaly("north-01", T0 + 2000, AnomalyStatus.LEFT))
    assert (resolved.state, resolved.fingerprint, resolved.starts_at) == (RESOLVED, fired.fingerprint, fired.starts_at)
    assert resolved.annotations["summary"] == summary


def test_a_cohort_that_has_shifted_alerts_by_its_kind(fleet: Fleet) -> None:
    watched = Watched(fleet)
    (fired,) = watched.feed(cohort_shift(T0))
    assert (fired.name, fired.state) == (rules.METRIC_ANOMALY, FIRING)
    assert fired.labels == {"metric": "memory", "firmware": "2.3.0", "hardware": "rev-b", "width_ms": "60000"}
    assert fired.annotations["summary"] == (
        "memory of all devices (hardware rev-b, firmware 2.3.0) at 7 sites has shifted by +1 of their own scales"
    )
    assert (fired.numbers["value"], fired.numbers["low"], fired.numbers["sites"]) == (1.02, pytest.approx(-0.29), 7)
    assert fired.evidence == {}
    (ended,) = watched.feed(cohort_shift(T0 + 60_000, AnomalyStatus.LEFT))
    assert (ended.fingerprint, ended.state) == (fired.fingerprint, RESOLVED)


def test_every_alert_names_a_runbook_that_is_there(fleet: Fleet) -> None:
    watched = Watched(fleet, ledger_breach=RuleConfig(), site_dark_s=1.0)
    gateway = Gateway(fleet)
    watched.feed(anomaly("north-01", T0), gateway.silent("north-02", T0), verdict(), account("gap"), gateway.beat(T0))
    watched.feed(incident(1))
    watched.wait(2)
    fired = {alert.name: alert for alert in watched.said}
    assert set(fired) == set(rules.ALL)
    for alert in fired.values():
        runbook = Path(__file__).parents[2] / alert.annotations["runbook"]
        assert runbook.read_text().startswith(f"# {alert.name}\n")


def test_a_change_carries_the_trace_of_its_cause(fleet: Fleet) -> None:
    watched = Watched(fleet)
    result = watched.stage.step([taken(anomaly("north-01", T0, trace=TRACE))], T0)
    assert result.outgoing[0].headers[-1] == ("traceparent", TRACE.encode())


def test_missing_data_resolves_nothing(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet)
    watched.feed(anomaly("north-01", T0), gateway.silent("north-02", T0), account("chain_broken"), verdict())
    watched.tick_ms = 60_000
    assert states(watched.wait(7 * 86_400)) == [(rules.LEDGER_BREACH, FIRING)]
    watched.restart()
    assert not watched.wait(86_400)


def test_a_silent_device_alerts_until_it_returns(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet)
    (fired,) = watched.feed(gateway.silent("north-01", T0))
    assert (fired.name, fired.state, fired.labels) == (
        rules.DEVICE_SILENT,
        FIRING,
        {"site": "north", "device": "north-01"},
    )
    (resolved,) = watched.feed(gateway.returned("north-01", T0 - 5))
    assert (resolved.state, resolved.fingerprint) == (RESOLVED, fired.fingerprint)


def test_a_last_will_neither_begins_nor_ends_anything(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet)
    assert not watched.feed(gateway.lost("north-01", T0))
    watched.feed(gateway.silent("north-01", T0))
    assert not watched.feed(gateway.lost("north-01", T0))


def test_of_a_retired_device_nothing_alarms_any_more(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet)
    watched.feed(anomaly("north-01", T0), gateway.silent("north-01", T0), anomaly("north-02", T0))
    ended = watched.feed(gateway.retired("north-01", T0))
    assert {(c.name, c.state, c.labels["device"]) for c in ended} == {
        (rules.METRIC_ANOMALY, RESOLVED, "north-01"),
        (rules.DEVICE_SILENT, RESOLVED, "north-01"),
    }


def test_what_a_gateway_sends_again_is_no_second_alert(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet)
    history = [gateway.silent("north-01", T0), gateway.returned("north-01", T0 + 1), gateway.silent("north-01", T0 + 2)]
    assert len(watched.feed(*history)) == 3
    assert not watched.feed(*history)
    assert not watched.feed(*history[1:])
    back = gateway.returned("north-01", T0 + 3)
    assert len(watched.feed(back)) == 1
    assert not watched.feed(*history, back)


def test_what_the_detector_appends_again_is_no_second_alert(fleet: Fleet) -> None:
    watched = Watched(fleet)
    history = [anomaly("north-01", T0), anomaly("north-01", T0 + 1, AnomalyStatus.LEFT), anomaly("north-01", T0 + 2)]
    assert len(watched.feed(*history)) == 3
    assert not watched.feed(*history)


def test_alerts_that_come_and_go_in_one_step_are_told_apart(fleet: Fleet) -> None:
    watched = Watched(fleet)
    status = [AnomalyStatus.ENTERED, AnomalyStatus.LEFT]
    changes = watched.feed(*(anomaly("north-01", T0 + n, status[n % 2]) for n in range(6)))
    assert [change.state for change in changes] == [FIRING, RESOLVED] * 3
    assert len({change.idempotency_key() for change in changes}) == 6


def test_what_no_gateway_signed_is_passed_over_and_counted(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet)
    good = gateway.silent("north-01", T0)
    forged = msgspec.structs.replace(good, value=(good.value or b"").replace(b"north-01", b"north-02"))
    stranger = Gateway(Fleet(("north",))).silent("north-02", T0)
    unsigned = msgspec.structs.replace(good, headers=())
    foreign = Gateway(fleet, "south").silent("south-01", T0)
    speaks_for = fleet._sign(msgspec.structs.replace(good, headers=()), "south")
    long_name = gateway.silent("n" * 200, T0)
    tombstone = Outgoing(DEVICES, b"north/north-03", None)
    changes = watched.feed(forged, stranger, unsigned, speaks_for, long_name, tombstone, foreign, good)
    assert [change.labels["device"] for change in changes] == ["south-01", "north-01"]
    reasons = ("bad_signature", "unknown_gateway", "no_signature", "foreign_origin", "bad_name")
    assert {reason: watched.skipped(DEVICES, reason) for reason in reasons} == dict.fromkeys(reasons, 1.0)


def test_what_cannot_be_read_is_passed_over_and_counted(fleet: Fleet) -> None:
    watched = Watched(fleet)
    broken = [Outgoing(topic, b"k", b"{}") for topic in watched.stage.topics if topic != DEVICES]
    assert not watched.feed(*broken, Outgoing(ANOMALIES, b"k", None))
    assert [watched.skipped(record.topic, "malformed") for record in broken] == [1.0] * len(broken)


def test_numbers_of_a_hostile_gateway_stop_nothing(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet)
    plain = gateway.silent("north-01", T0)
    value = (plain.value or b"").replace(b'"last_seen":0', b'"last_seen":1' + b"0" * 400)
    hostile = fleet._sign(msgspec.structs.replace(plain, value=value, headers=()), "north")
    odd_id = ("ce_id", b"gw/boot/event/" + b"9" * 5000)
    watched.feed(hostile, msgspec.structs.replace(hostile, headers=(*hostile.headers, odd_id)))
    watched.restart()
    assert len(watched.feed(gateway.silent("north-02", T0))) == 1


def test_a_rule_that_is_switched_off_says_nothing_and_ends_what_it_began(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(anomaly("north-01", T0))
    watched.config = msgspec.structs.replace(watched.config, metric_anomaly=RuleConfig(enabled=False))
    watched.restart()
    assert states(watched.feed(anomaly("north-02", T0))) == [(rules.METRIC_ANOMALY, RESOLVED)]


def test_severity_stays_what_it_was_when_the_alert_began(fleet: Fleet) -> None:
    # For Alertmanager another severity is another alert: the first one would never end.
    watched = Watched(fleet)
    watched.feed(anomaly("north-01", T0))
    watched.config = msgspec.structs.replace(watched.config, metric_anomaly=RuleConfig(severity="critical"))
    watched.restart()
    (resolved,) = watched.feed(anomaly("north-01", T0 + 1, AnomalyStatus.LEFT))
    assert resolved.severity == "warning"


def test_alerts_of_a_gateway_that_was_taken_from_the_registry_end(fleet: Fleet, gateway: Gateway) -> None:
    watched = Watched(fleet, site_dark_s=5.0)
    south = Gateway(fleet, "south")
    watched.feed(gateway.beat(T0), south.beat(T0), south.silent("south-01", T0), gateway.silent("north-01", T0))
    watched.wait(6)
    assert len(watched.said) == 6
    left = [GatewayConfig(**msgspec.structs.asdict(known)) for known in fleet.gateways if known.site == "north"]
    fleet.gateways = Gateways(left)
    watched.restart()
    assert {(change.name, change.labels["site"]) for change in watched.feed()} == {
        (rules.SITE_DARK, "south"),
        (rules.DEVICE_SILENT, "south"),
    }
    assert not watched.wait(60)


def test_heartbeats_alone_are_saved_now_and_then_alerts_at_once(fleet: Fleet, gateway: Gateway) -> None:
    stage = Watched(fleet).stage
    saved = [stage.step([taken(gateway.beat(T0))], T0 + 100 * n).changed for n in range(21)]
    assert [n for n, changed in enumerate(saved) if changed] == [0, 10, 20]
    assert stage.step([taken(anomaly("north-01", T0))], T0 + 2001).changed
    assert not stage.step([], T0 + 9000).changed


moves = st.lists(
    st.tuples(
        st.integers(0, 4000),
        st.lists(
            st.tuples(st.sampled_from(["anomaly", "device", "account"]), st.booleans(), st.integers(1, 3)), max_size=4
        ),
    ),
    max_size=25,
)


durations = st.sampled_from([0.0, 1.0, 5.0])


@settings(deadline=None)
@given(moves, st.integers(0, 25), durations, durations)
def test_a_restart_at_any_moment_changes_nothing(
    script: list[tuple[int, list[tuple[str, bool, int]]]], cut: int, for_s: float, keep_s: float
) -> None:
    fleet = Fleet(("north",))
    rule = RuleConfig(for_s=for_s, keep_firing_s=keep_s)
    config = {"metric_anomaly": rule, "device_silent": rule, "ledger_breach": rule}
    lasting, restarted = Watched(fleet, **config), Watched(fleet, **config)
    gateway = Gateway(fleet)
    for number, (step_ms, events) in enumerate(script):
        if number == cut:
            restarted.restart()
        records = [_record(gateway, kind, n, lasting.now, active=active) for kind, active, n in events]
        for watched in (lasting, restarted):
            watched.now += step_ms
            watched.feed(*records)
    assert restarted.said == lasting.said
    _assert_told_in_pairs(lasting.said)


def _record(gateway: Gateway, kind: str, number: int, at: int, *, active: bool) -> Outgoing:
    device = f"north-{number:02d}"
    if kind == "anomaly":
        return anomaly(device, at, AnomalyStatus.ENTERED if active else AnomalyStatus.LEFT)
    if kind == "device":
        return gateway.silent(device, at) if active else gateway.returned(device, at)
    return account("gap" if active else "balanced", boot=f"boot-{number}")


def _assert_told_in_pairs(said: list[AlertEvent]) -> None:
    told = [change for change in said if change.starts_at]
    for fingerprint in {change.fingerprint for change in told}:
        ours = [change for change in told if change.fingerprint == fingerprint]
        assert [change.state for change in ours] == ([FIRING, RESOLVED] * len(ours))[: len(ours)]
        assert all(before.starts_at < after.starts_at for before, after in pairwise(ours[::2]))
