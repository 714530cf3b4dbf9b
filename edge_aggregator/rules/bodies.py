"""What is said of alarms: to a panel, everything about one device; to a webhook, one change in Alertmanager's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ingest.contract.events import AlertState
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_aggregator.devices.registry import Site
    from edge_aggregator.rules.alarm import Alarm

NEVER = "0001-01-01T00:00:00Z"


def panel_body(site: Site, device: str, alarms: Iterable[Alarm], now: int) -> bytes:
    """Everything that fires at a device, JSON: `{"site", "device", "at": ms, "state": "firing"|"resolved", "alarms": […]}`."""
    firing = sorted((alarm for alarm in alarms if alarm.state is AlertState.FIRING), key=lambda alarm: alarm.fired_at)
    state = AlertState.FIRING if firing else AlertState.RESOLVED
    body = {
        "site": site.site,
        "device": device,
        "at": now,
        "state": state.value,
        "alarms": [_panel_alarm(alarm) for alarm in firing],
    }
    return msgspec.json.encode(body)


def _panel_alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "rule": alarm.rule,
        "severity": alarm.severity,
        "message": alarm.message,
        "metric": alarm.metric,
        "labels": dict(alarm.labels),
        "since": alarm.since,
        "fired_at": alarm.fired_at,
        "value": alarm.value,
    }


def webhook_body(site: Site, alarm: Alarm) -> bytes:
    """One change of one alarm, in the format (version 4) of Alertmanager's webhook, with the number and a key."""
    resolved = alarm.state is AlertState.RESOLVED
    labels = {"alertname": alarm.rule, "severity": alarm.severity, "tenant": site.tenant, "site": site.site}
    labels |= {"device": alarm.device} | ({"metric": alarm.metric} if alarm.metric else {})
    labels |= {f"label_{name}": value for name, value in alarm.labels}
    annotations = {"summary": alarm.message or f"{alarm.rule}: {alarm.metric or 'silence'} of {alarm.device}"}
    annotations |= {"reason": alarm.reason} if alarm.reason else {}
    status = "resolved" if resolved else "firing"
    one = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(alarm.fired_at),
        "endsAt": rfc3339(alarm.at) if resolved else NEVER,
        "generatorURL": "",
        "fingerprint": alarm.fingerprint(),
        "numbers": {"value": alarm.value},
        "idempotencyKey": idempotency_key(alarm),
    }
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{alarm.rule}", tenant="{site.tenant}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": site.gateway,
        "groupLabels": {"alertname": alarm.rule, "tenant": site.tenant},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [one],
    }
    return msgspec.json.encode(body)


def idempotency_key(alarm: Alarm) -> str:
    """Equal for every delivery of the same change."""
    return f"{alarm.fingerprint()}:{alarm.fired_at}:{alarm.state.value}"
