"""What is said of devices is put into one order by tenant; whom nobody knows is not heard."""

from __future__ import annotations

import msgspec
import pytest

from analytics.incidents.config import IncidentsConfig
from analytics.incidents.relay import RelayStage
from ingest.contract.events import (
    AlertEvent,
    AlertState,
    AnomalyStatus,
    DeviceChange,
    DeviceState,
    SignalKind,
    SummaryEvent,
)
from ingest.contract.records import Outgoing
from ingest.contract.topics import ALERTS, ANOMALIES, SUMMARIES
from ingest.runtime.telemetry import Telemetry
from tests.alert_world import TRACE, Gateway, anomaly, cohort_shift, event_of, taken
from tests.gate_world import T0, TENANT, Fleet


class Relay:
    def __init__(self, fleet: Fleet) -> None:
        self.telemetry, self._fleet = Telemetry("test"), fleet
        self.stage = RelayStage(IncidentsConfig(), fleet.gateways, self.telemetry)

    def said(self, *records: Outgoing, at: int = T0) -> list[SummaryEvent]:
        result = self.stage.step([taken(record) for record in records], at)
        assert {(record.topic, record.key) for record in result.outgoing} <= {(SUMMARIES, TENANT.encode())}
        return [msgspec.json.decode(record.value or b"", type=SummaryEvent) for record in result.outgoing]

    def restart(self) -> None:
        parts = dict(self.stage.snapshot())
        self.stage = RelayStage(IncidentsConfig(), self._fleet.gateways, self.telemetry)
        self.stage.restore(parts)

    def dead(self, topic: str, reason: str) -> float:
        labels = {"topic": topic, "reason": reason}
        return self.telemetry.registry.get_sample_value("tidegate_dead_letters_total", labels) or 0.0


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(("north",), per_site=3)


def dark_alert(state: AlertState) -> Outgoing:
    event = AlertEvent(
        fingerprint="f",
        tenant=TENANT,
        name="SiteDark",
        state=state,
        severity="critical",
        labels={"site": "north", "gateway": "gw-north"},
        annotations={},
        numbers={},
        changed_at=T0,
        pending_since=0,
        starts_at=T0,
    )
    return event_of(ALERTS, "f", event)


def test_anomalies_devices_and_dark_sites_become_signals(fleet: Fleet) -> None:
    gateway = Gateway(fleet)
    (summary,) = Relay(fleet).said(
        anomaly("north-01", T0, trace=TRACE),
        anomaly("north-01", T0 + 5, AnomalyStatus.LEFT),
        fleet.device("north", "north-02", T0),
        gateway.silent("north-02", T0),
        gateway.lost("north-02", T0),  # a last will says nothing
        gateway.retired("north-02", T0),
        gateway.beat(T0),
        dark_alert(AlertState.FIRING),
        dark_alert(AlertState.RESOLVED),
        dark_alert(AlertState.PENDING),
        at=T0 + 10,
    )
    assert (summary.tenant, summary.at) == (TENANT, T0 + 10)
    assert [(one.kind, one.active, one.retired) for one in summary.signals] == [
        (SignalKind.ANOMALY, True, False),
        (SignalKind.ANOMALY, False, False),
        (SignalKind.DEVICE, False, False),
        (SignalKind.DEVICE, True, False),
        (SignalKind.DEVICE, False, True),
        (SignalKind.DARK, True, False),
        (SignalKind.DARK, False, False),
    ]
    first = summary.signals[0]
    assert (first.metric, first.labels, first.value, first.expected, first.trace) == (
        "memory",
        (("core-id", "0"),),
        97.5,
        41.0,
        TRACE,
    )
    assert (first.firmware, first.hardware) == ("2.3.0", "rev-b")


def test_nobodys_clock_is_ahead_and_records_stay_small(fleet: Fleet) -> None:
    summaries = Relay(fleet).said(*(anomaly(f"d{n}", T0 + 99_999) for n in range(4000)), at=T0)
    assert {one.at for summary in summaries for one in summary.signals} == {T0}
    assert [len(summary.signals) for summary in summaries] == [1500, 1500, 1000]
    assert max(len(msgspec.json.encode(summary)) for summary in summaries) < 900_000


def test_who_is_not_known_is_not_heard(fleet: Fleet) -> None:
    relay, stranger = Relay(fleet), Fleet(("north",), per_site=1)
    malformed = Outgoing(ANOMALIES, b"k", b"{")
    unsigned = msgspec.structs.replace(
        fleet.device("north", "north-01", T0, DeviceChange.SILENT, state=DeviceState.SILENT), headers=()
    )
    assert relay.said(malformed, unsigned, stranger.device("north", "north-01", T0)) == []
    assert relay.dead("fleet.anomalies.v1", "malformed") == 1
    assert relay.dead("fleet.devices.v1", "no_signature") == 1
    assert relay.dead("fleet.devices.v1", "unknown_gateway") == 1


def test_the_time_is_told_while_somebody_waits_for_it(fleet: Fleet) -> None:
    relay = Relay(fleet)
    relay.said(fleet.device("north", "north-02", T0))
    assert relay.said(at=T0 + 5000) == []  # nobody is ill
    relay.said(anomaly("north-01", T0 + 6000), at=T0 + 6000)
    assert relay.said(at=T0 + 6500) == []
    assert [(one.at, one.signals) for one in relay.said(at=T0 + 7000)] == [(T0 + 7000, [])]
    relay.restart()
    assert len(relay.said(at=T0 + 8000)) == 1
    assert relay.said(at=T0 + 3_600_000) == []


def test_a_cohort_becomes_a_signal_of_no_device(fleet: Fleet) -> None:
    (summary,) = Relay(fleet).said(cohort_shift(T0), cohort_shift(T0 + 5, AnomalyStatus.LEFT))
    assert [(one.kind, one.active) for one in summary.signals] == [
        (SignalKind.COHORT, True),
        (SignalKind.COHORT, False),
    ]
    first = summary.signals[0]
    assert (first.site, first.device, first.hardware, first.firmware) == ("", "", "rev-b", "2.3.0")
    assert (first.sites, first.devices, first.value) == (7, 40, 1.02)
