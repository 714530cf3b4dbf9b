"""What is remembered of a tenant's incidents, and what a step changed in it."""

from __future__ import annotations

from collections import Counter

import msgspec

from analytics.incidents.causes import DAY_MS
from analytics.incidents.incident import Incident

HOUR_MS = 3_600_000


class Book(msgspec.Struct):
    """What is remembered of a tenant: open incidents by name, which of them a series is in, and how often series fall ill alone.

    `usual`: of each hour (ms / 3,600,000), with which symptoms single devices fell ill for no reason, and how many.
    """

    tenant: str
    open: dict[str, Incident] = {}
    of_series: dict[str, str] = {}
    usual: dict[int, dict[str, int]] = {}
    full: int = 0
    """Series that found no room."""
    ended: list[tuple[int, str]] = []
    """When (ms) which incident ended, the first one first, as long as its record is kept."""

    def note_usual(self, incident: Incident) -> None:
        """A single device fell ill for no reason, and this is over."""
        of_hour = self.usual.setdefault(incident.since // HOUR_MS, {})
        for word in incident.on_devices:
            of_hour[word] = of_hour.get(word, 0) + 1

    def usual_of_day(self, moment: int) -> Counter[str]:
        """How many devices fell ill by themselves in the day before `moment` (ms), by symptom; what is older is forgotten."""
        for hour in [hour for hour in self.usual if hour * HOUR_MS < moment - DAY_MS]:
            del self.usual[hour]
        total: Counter[str] = Counter()
        for of_hour in self.usual.values():
            total.update(of_hour)
        return total


class Merged(msgspec.Struct, frozen=True):
    """An incident that people were told of, and the one that it is part of."""

    incident: Incident
    into: str


class Changes(msgspec.Struct):
    """What a step ended: incidents that are over, and those that became part of others. Open ones know that they changed."""

    resolved: list[Incident] = []
    merged: list[Merged] = []
