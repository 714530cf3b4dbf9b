"""The rules that ship: from events of the fleet to conditions."""

from __future__ import annotations

from analytics.alerts.condition import Condition, Order
from analytics.detect.classes import TOGETHER_LABEL
from ingest.contract.events import (
    DARKNESS,
    AccountEvent,
    Affected,
    AnomalyEvent,
    AnomalyStatus,
    DeviceEvent,
    DeviceState,
    IncidentEvent,
    IncidentState,
    Verdict,
)
from ingest.contract.reasons import LedgerFinding

METRIC_ANOMALY = "MetricAnomaly"
DEVICE_SILENT = "DeviceSilent"
SITE_DARK = "SiteDark"
ROLLOUT_FAILED = "RolloutFailed"
LEDGER_BREACH = "LedgerBreach"
INCIDENT = "Incident"

_MOST = 1 << 53  # a hostile gateway may write any number
_DETAILS = 200
BAND_SCALES = 3.0
"""The ordinary range that people are shown, in scales of the series."""

ALL = (METRIC_ANOMALY, DEVICE_SILENT, SITE_DARK, ROLLOUT_FAILED, LEDGER_BREACH, INCIDENT)
BUILT_IN = frozenset(ALL)
PARTS = frozenset({METRIC_ANOMALY, DEVICE_SILENT})
"""Alerts of which the incident that they are part of tells."""


def runbook_of(name: str) -> str:
    """Where the documents say what to do about an alert of this name."""
    return f"docs/runbooks/{name}.md"


def metric_anomaly(event: AnomalyEvent, trace: str) -> Condition:
    """One series of one device is out of its ordinary range, or all like devices have shifted together."""
    if event.sites:
        return _cohort_shift(event, trace)
    labels = {"site": event.site, "device": event.device, "metric": event.metric}
    labels |= {f"label_{name}": value for name, value in event.labels}
    known = {"firmware": event.firmware, "hardware": event.hardware, "group": event.group}
    details = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    return Condition(
        rule=METRIC_ANOMALY,
        tenant=event.tenant,
        labels=labels,
        active=event.status is not AnomalyStatus.LEFT,
        numbers=_numbers(event),
        summary=f"{event.metric} of {event.device} is {event.value:.4g}, expected {event.expected:.4g}{_in(details)}",
        trace=trace,
        order=Order(f"detector {event.detector}", event.at),  # a series is judged once for each window end
        about=known | {"detector": event.detector},
        evidence=_drawn(labels),
    )


def _cohort_shift(event: AnomalyEvent, trace: str) -> Condition:
    kind = ", ".join(f"{name} {value}" for name in ("hardware", "firmware") if (value := getattr(event, name)))
    return Condition(
        rule=METRIC_ANOMALY,
        tenant=event.tenant,
        labels={"metric": event.metric} | dict(event.labels),
        active=event.status is not AnomalyStatus.LEFT,
        numbers=_numbers(event) | {"sites": float(event.sites), "devices": float(event.devices)},
        summary=f"{event.metric} of all devices{_in(kind)} at {event.sites} sites has shifted by"
        f" {event.value - event.expected:+.2g} of their own scales",
        trace=trace,
        order=Order(f"detector {event.detector}", event.at),
        about={"firmware": event.firmware, "hardware": event.hardware, "detector": event.detector},
    )


def device_silent(event: DeviceEvent, trace: str, order: Order) -> Condition | None:
    """A device's lease has run out. A last will says nothing: the lease goes on, and silence is said when it ends."""
    if event.state is DeviceState.LOST:
        return None
    known = {"firmware": event.firmware, "hardware": event.hardware, "group": event.group}
    details = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    return Condition(
        rule=DEVICE_SILENT,
        tenant=event.tenant,
        labels={"site": event.site, "device": event.device},
        active=event.state is DeviceState.SILENT,
        numbers={"last_seen_ms": float(min(event.last_seen, _MOST))},
        summary=f"{event.device} at {event.site} has fallen silent{_in(details)}",
        trace=trace,
        order=order,
        about=known,
    )


def site_dark(tenant: str, site: str, gateway: str, *, silent_for_s: float, active: bool, trace: str = "") -> Condition:
    """Nothing is heard of a gateway: one alert, whatever the number of its devices."""
    return Condition(
        rule=SITE_DARK,
        tenant=tenant,
        labels={"site": site, "gateway": gateway},
        active=active,
        numbers={"silent_for_s": silent_for_s},
        summary=f"nothing has been heard of {site} ({gateway}) for {silent_for_s:.0f} s",
        trace=trace,
    )


def rollout_failed(verdict: Verdict, trace: str) -> Condition:
    """The gate of a rollout says fail."""
    return Condition(
        rule=ROLLOUT_FAILED,
        tenant=verdict.tenant,
        labels={"rollout": verdict.rollout},
        active=True,
        numbers={"log10_e": verdict.log10_e, "alpha": verdict.alpha},
        summary=f"rollout {verdict.rollout} does harm: {verdict.reason}",
        trace=trace,
    )


def rollout_over(tenant: str, rollout: str, trace: str) -> Condition:
    """A rollout that was rolled back, or that its owner ended, is no danger any more."""
    return Condition(rule=ROLLOUT_FAILED, tenant=tenant, labels={"rollout": rollout}, active=False, trace=trace)


def ledger_breach(account: AccountEvent, trace: str) -> Condition:
    """A gateway's account does not balance, or its chain is broken or has gaps."""
    return Condition(
        rule=LEDGER_BREACH,
        tenant=account.tenant,
        labels={"site": account.site, "gateway": account.gateway, "boot": account.boot},
        active=account.finding != LedgerFinding.BALANCED,
        numbers={"first_broken_seq": float(account.first_broken_seq)},
        summary=f"the ledger of {account.gateway} at {account.site}: {account.finding}",
        trace=trace,
    )


def ledger_forgotten(key: bytes) -> Condition | None:
    """The door has given up an account, `{tenant}/{site}/{gateway}/{boot}`: nothing will be said of it any more."""
    try:
        tenant, site, gateway, boot = key.decode().split("/", 3)
    except ValueError:
        return None
    labels = {"site": site, "gateway": gateway, "boot": boot}
    return Condition(rule=LEDGER_BREACH, tenant=tenant, labels=labels, active=False)


def incident(event: IncidentEvent) -> Condition:
    """Alarms that share a time and a cause. Of a dark site its own alert tells: its incident is over for people."""
    is_open = event.state in (IncidentState.OPEN, IncidentState.GROWING)
    is_dark = any(symptom.metric == DARKNESS for symptom in event.symptoms)
    numbers = {"devices": event.devices, "sites": event.sites, "series": event.series, "active": event.active}
    shown = next((one for one in event.affected if one.metric == event.root_cause and one.scale > 0), None)
    notes = {"incident": event.incident, "root_cause": event.root_cause, "cause": event.cause_sentence}
    return Condition(
        rule=INCIDENT,
        tenant=event.tenant,
        labels={"incident": event.incident},
        active=is_open and not is_dark,
        numbers={name: float(number) for name, number in numbers.items()} | (_numbers(shown) if shown else {}),
        summary=event.summary,
        trace=event.trace,
        order=Order("incident", event.number),
        revision=event.told,
        notes={name: text for name, text in (notes | _in_common(event)).items() if text},
        about=_in_common(event),
        evidence=_evidence(shown) if shown and shown.device else {},
    )


def _numbers(series: AnomalyEvent | Affected) -> dict[str, float]:
    """What was seen, what was expected, and the ordinary range: three scales to both sides."""
    return {
        "value": series.value,
        "expected": series.expected,
        "scale": series.scale,
        "low": series.expected - BAND_SCALES * series.scale,
        "high": series.expected + BAND_SCALES * series.scale,
        "score": series.score,
        "since_ms": float(series.since),
    }


def _evidence(series: Affected) -> dict[str, str]:
    labels = {f"label_{name}": value for name, value in series.labels}
    return _drawn({"site": series.site, "device": series.device, "metric": series.metric} | labels)


def _drawn(labels: dict[str, str]) -> dict[str, str]:
    """The series as the store knows it: an alarm about all metrics of a device is shown by the one that it names."""
    return {name: value for name, value in labels.items() if name != f"label_{TOGETHER_LABEL}"}


def _in_common(event: IncidentEvent) -> dict[str, str]:
    """What all of its series have in common."""
    if event.left_out or not event.affected:
        return {"site": event.affected[0].site} if event.sites == 1 and event.affected else {}
    values = {name: {getattr(one, name) for one in event.affected} for name in ("site", "device", "metric")}
    return {name: min(found) for name, found in values.items() if len(found) == 1 and min(found)}


def _in(details: str) -> str:
    return f" ({details[:_DETAILS]})" if details else ""
