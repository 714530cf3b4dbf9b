"""The Notifier port: how one group of alerts reaches a receiver."""

from __future__ import annotations

from typing import Protocol

import msgspec

from ingest.contract.events import AlertEvent

GROUP_MOST = 100
"""Alerts that travel together at the most."""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of one name and state that travel together. `key` is equal whenever the same group is sent again."""

    key: str
    name: str
    tenant: str
    alerts: list[AlertEvent]
    trace: str = ""
    group: dict[str, str] = {}
    """The labels that its alerts share because they were grouped by them."""

    def headers(self) -> dict[str, str]:
        """What goes with it, whoever receives it: its content type, its key, and the trace that it is part of."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": self.key}
        return headers | ({"traceparent": self.trace} if self.trace else {})


class TemporarilyRefusedError(ConnectionError):
    """Not taken now: try again, not before `retry_after_s` if the receiver asked for that."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class PermanentlyRefusedError(ValueError):
    """The receiver will never take this one."""


class Notifier(Protocol):
    """A receiver. What it takes twice under one key it must be able to tell."""

    name: str
    most_wait_s: float
    """The longest pause between two tries, unless the receiver asks for a longer one."""
    group_most: int
    """So many alerts travel together at the most."""
    is_tracker: bool
    """Whether it wants to know that somebody looks after an alert."""

    async def send(self, notification: Notification) -> None:
        """Raises TemporarilyRefusedError, PermanentlyRefusedError."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
