"""Alerts in words, for receivers that are read by people: mails and chats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.contract.events import AlertEvent, AlertState
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from analytics.alerts.notifier import Notification

SHOWN = 50
"""So many alerts of a group are told one by one."""
_LINE = 500


def title(notification: Notification) -> str:
    """One line."""
    resolved = notification.alerts[0].state is AlertState.RESOLVED
    state, number = ("RESOLVED" if resolved else "FIRING"), len(notification.alerts)
    what = notification.alerts[0].annotations.get("summary", "") if number == 1 else f"{number} alerts"
    return _plain(f"[{state}] {notification.name}: {what} ({notification.tenant})")


def text(notification: Notification) -> str:
    """All that is known, a paragraph for each alert."""
    told = [_paragraph(alert) for alert in notification.alerts[:SHOWN]]
    more = len(notification.alerts) - SHOWN
    return "\n\n".join([*told, *([f"and {more} more"] if more > 0 else [])]) + "\n"


def _paragraph(alert: AlertEvent) -> str:
    summary, runbook, link = (alert.annotations.get(name, "") for name in ("summary", "runbook", "link"))
    resolved = alert.state is AlertState.RESOLVED
    labels = ", ".join(f"{name} {value}" for name, value in sorted(alert.labels.items()))
    lines = [
        f"{'resolved' if resolved else alert.severity}: {summary or alert.name}",
        f"since {rfc3339(alert.starts_at)}" + (f", until {rfc3339(alert.ends_at)}" if resolved else ""),
        labels,
        *(f"{name}: {value}" for name, value in (("runbook", runbook), ("link", link)) if value),
        *([alert.annotations["flapping"]] if "flapping" in alert.annotations else []),
    ]
    return "\n".join(_plain(line) for line in lines)


def _plain(line: str) -> str:
    # What devices call themselves is not trusted: no line breaks, nothing endless.
    return " ".join(line.split())[:_LINE]
