"""What a notifier is given to tell in tests, and the notifiers that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.alerts.alertmanager import Alertmanager
from analytics.alerts.notifier import Notification
from analytics.alerts.receiver_config import AlertmanagerConfig, WebhookConfig
from analytics.alerts.webhook import Webhook
from ingest.contract.events import AlertEvent, AlertState
from ingest.runtime.clock import ManualClock
from tests.alert_world import TRACE
from tests.receivers import Receiver

if TYPE_CHECKING:
    pass

SECRET = "fixed for the test"


T0 = 1_700_000_000_000


def alert(fingerprint: str = "a1", state: AlertState = AlertState.FIRING, starts_at: int = T0) -> AlertEvent:
    return AlertEvent(
        fingerprint=fingerprint,
        tenant="acme",
        name="MetricAnomaly",
        state=state,
        severity="warning",
        labels={"site": "north", "device": fingerprint, "metric": "memory", "label_core-id": "0"},
        annotations={"summary": "memory of a1 is 97.5", "runbook": "docs/runbooks/MetricAnomaly.md"},
        numbers={"value": 97.5, "expected": 41.0},
        changed_at=starts_at,
        pending_since=starts_at,
        starts_at=starts_at,
        ends_at=starts_at + 60_000 if state is AlertState.RESOLVED else 0,
    )


def notification(*alerts: AlertEvent, trace: str = TRACE) -> Notification:
    return Notification(
        key="the-groups-key", name="MetricAnomaly", tenant="acme", alerts=list(alerts) or [alert()], trace=trace
    )


def webhook(url: str, timeout_s: float = 10.0) -> Webhook:
    config = WebhookConfig(name="hook", url=url + "/alerts", secret_file="", timeout_s=timeout_s)
    return Webhook(config, SECRET, ManualClock(T0))


def alertmanager_at(*urls: str, timeout_s: float = 10.0) -> Alertmanager:
    config = AlertmanagerConfig(
        name="manager", urls=list(urls), username="tidegate", password_file="-", timeout_s=timeout_s
    )
    return Alertmanager(config, SECRET, ManualClock(T0))


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """The alerts of the newest request, whichever format it is in."""
    body = receiver.requests[-1].json()
    return body["alerts"] if isinstance(body, dict) else body
