"""The rules that ship: from events of the fleet to conditions."""

from __future__ import annotations

from analytics.alerts.condition import Condition, Order
from ingest.contract.events import (
    AccountEvent,
    AnomalyEvent,
    AnomalyStatus,
    DeviceEvent,
    DeviceState,
    Verdict,
)
from ingest.contract.reasons import LedgerFinding

METRIC_ANOMALY = "MetricAnomaly"
DEVICE_SILENT = "DeviceSilent"
SITE_DARK = "SiteDark"
ROLLOUT_FAILED = "RolloutFailed"
LEDGER_BREACH = "LedgerBreach"

_MOST = 1 << 53  # a hostile gateway may write any number
_DETAILS = 200

ALL = (METRIC_ANOMALY, DEVICE_SILENT, SITE_DARK, ROLLOUT_FAILED, LEDGER_BREACH)


def metric_anomaly(event: AnomalyEvent, trace: str) -> Condition:
    """One series of one device is out of its ordinary range."""
    labels = {"site": event.site, "device": event.device, "metric": event.metric}
    labels |= {f"label_{name}": value for name, value in event.labels}
    known = {"firmware": event.firmware, "hardware": event.hardware, "group": event.group}
    details = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    return Condition(
        rule=METRIC_ANOMALY,
        tenant=event.tenant,
        labels=labels,
        active=event.status is not AnomalyStatus.LEFT,
        numbers={"value": event.value, "expected": event.expected, "scale": event.scale, "score": event.score},
        summary=f"{event.metric} of {event.device} is {event.value:.4g}, expected {event.expected:.4g}{_in(details)}",
        trace=trace,
        order=Order(f"detector {event.detector}", event.at),  # a series is judged once for each window end
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


def _in(details: str) -> str:
    return f" ({details[:_DETAILS]})" if details else ""
