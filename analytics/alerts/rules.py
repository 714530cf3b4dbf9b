"""The rules that ship: from events of the fleet to conditions."""

from __future__ import annotations

from analytics.alerts.condition import Condition
from ingest.contract.events import (
    AccountEvent,
    AnomalyEvent,
    AnomalyStatus,
    DeviceEvent,
    DeviceState,
    Outcome,
    RollbackPhase,
    RollbackStatus,
    Verdict,
)
from ingest.contract.reasons import LedgerFinding

METRIC_ANOMALY = "MetricAnomaly"
DEVICE_SILENT = "DeviceSilent"
SITE_DARK = "SiteDark"
ROLLOUT_FAILED = "RolloutFailed"
LEDGER_BREACH = "LedgerBreach"


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
        at=event.at,
        numbers={"value": event.value, "expected": event.expected, "scale": event.scale, "score": event.score},
        summary=f"{event.metric} of {event.device} is {event.value:.4g}, expected {event.expected:.4g} ({details})",
        trace=trace,
    )


def device_silent(event: DeviceEvent, trace: str) -> Condition:
    """A device's lease has run out."""
    return Condition(
        rule=DEVICE_SILENT,
        tenant=event.tenant,
        labels={"site": event.site, "device": event.device},
        active=event.state is DeviceState.SILENT,
        at=event.at,
        numbers={"last_seen_ms": float(event.last_seen)},
        summary=f"{event.device} at {event.site} has fallen silent (firmware {event.firmware}, {event.hardware})",
        trace=trace,
    )


def site_dark(tenant: str, site: str, gateway: str, *, silent_for_s: float, active: bool, at: int) -> Condition:
    """Nothing is heard of a gateway: one alert, whatever the number of its devices."""
    return Condition(
        rule=SITE_DARK,
        tenant=tenant,
        labels={"site": site, "gateway": gateway},
        active=active,
        at=at,
        numbers={"silent_for_s": silent_for_s},
        summary=f"nothing has been heard of {site} ({gateway}) for {silent_for_s:.0f} s",
    )


def rollout_failed(verdict: Verdict, trace: str) -> Condition:
    """The gate of a rollout says fail; over when its rollback is complete."""
    return Condition(
        rule=ROLLOUT_FAILED,
        tenant=verdict.tenant,
        labels={"rollout": verdict.rollout},
        active=verdict.verdict is Outcome.FAIL,
        at=verdict.at,
        numbers={"log10_e": verdict.log10_e, "alpha": verdict.alpha},
        summary=f"rollout {verdict.rollout} does harm: {verdict.reason}",
        trace=trace,
    )


def rollback_complete(status: RollbackStatus, trace: str) -> Condition | None:
    """A complete rollback ends the alert of its rollout."""
    if status.phase is not RollbackPhase.COMPLETE:
        return None
    labels = {"rollout": status.rollout}
    return Condition(rule=ROLLOUT_FAILED, tenant=status.tenant, labels=labels, active=False, at=status.at, trace=trace)


def ledger_breach(account: AccountEvent, trace: str) -> Condition:
    """A gateway's account does not balance, or its chain is broken or has gaps."""
    return Condition(
        rule=LEDGER_BREACH,
        tenant=account.tenant,
        labels={"site": account.site, "gateway": account.gateway, "boot": account.boot},
        active=account.finding != LedgerFinding.BALANCED,
        at=account.at,
        numbers={"first_broken_seq": float(account.first_broken_seq)},
        summary=f"the ledger of {account.gateway} at {account.site}: {account.finding}",
        trace=trace,
    )
