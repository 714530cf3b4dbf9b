"""The devices of one tenant, counted as they change."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.contract.events import DeviceEvent, DeviceState

Key = tuple[str, str]
NAMED = 40
"""How many values of an attribute are listed by name; the rest is counted as `other`."""
OTHER = "other"


class _Class(NamedTuple):
    site: str
    firmware: str
    hardware: str
    group: str
    state: DeviceState


class DeviceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices are asked for; empty matches all, `text` is looked for in the device's name."""

    site: str = ""
    state: str = ""
    firmware: str = ""
    hardware: str = ""
    group: str = ""
    text: str = ""

    def matches(self, event: DeviceEvent) -> bool:
        """Whether the device is one of them."""
        return (
            self.site in ("", event.site)
            and self.state in ("", event.state)
            and self.firmware in ("", event.firmware)
            and self.hardware in ("", event.hardware)
            and self.group in ("", event.group)
            and (not self.text or self.text.lower() in event.device.lower())
        )


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Devices with one value of an attribute, by state."""

    value: str
    devices: int
    states: dict[str, int]


class FleetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All devices of a tenant, counted."""

    devices: int
    states: dict[str, int]
    firmware: list[Breakdown]
    hardware: list[Breakdown]
    group: list[Breakdown]


class DeviceTable:
    """The newest event of each device, at most `limit` devices."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: dict[Key, DeviceEvent] = {}
        self._counts: Counter[_Class] = Counter()
        self._order: list[Key] = []
        self._sorted = True

    def __len__(self) -> int:
        return len(self._events)

    def get(self, site: str, device: str) -> DeviceEvent | None:
        """What is known of a device."""
        return self._events.get((site, device))

    def put(self, event: DeviceEvent) -> str:
        """Take an event; returns what became of it: taken, stale or full."""
        key = (event.site, event.device)
        before = self._events.get(key)
        if before is not None and event.at < before.at:
            return "stale"
        if before is None and len(self._events) >= self._limit:
            return "full"
        if before is None:
            self._order.append(key)
            self._sorted = False
        else:
            self._count(before, -1)
        self._events[key] = event
        self._count(event, 1)
        return "taken"

    def page(self, wanted: DeviceFilter, after: Key | None, limit: int) -> list[DeviceEvent]:
        """Up to `limit` matching devices behind `after`, by site and name."""
        found: list[DeviceEvent] = []
        for event in self._behind(after):
            if wanted.matches(event):
                found.append(event)
                if len(found) == limit:
                    break
        return found

    def summary(self) -> FleetSummary:
        """The whole fleet, counted; costs as much as there are distinct combinations of attributes."""
        states: Counter[str] = Counter()
        for kind, number in self._counts.items():
            states[kind.state] += number
        return FleetSummary(
            devices=len(self._events),
            states=dict(states),
            firmware=self._breakdown("firmware"),
            hardware=self._breakdown("hardware"),
            group=self._breakdown("group"),
        )

    def states_by_site(self) -> dict[str, dict[str, int]]:
        """Per site, how many devices are in which state."""
        sites: dict[str, dict[str, int]] = {}
        for kind, number in self._counts.items():
            states = sites.setdefault(kind.site, {})
            states[kind.state] = states.get(kind.state, 0) + number
        return sites

    def _count(self, event: DeviceEvent, by: int) -> None:
        kind = _Class(event.site, event.firmware, event.hardware, event.group, event.state)
        self._counts[kind] += by
        if not self._counts[kind]:
            del self._counts[kind]

    def _behind(self, after: Key | None) -> Iterator[DeviceEvent]:
        if not self._sorted:
            self._order.sort()
            self._sorted = True
        start = 0 if after is None else bisect_right(self._order, after)
        return (self._events[self._order[index]] for index in range(start, len(self._order)))

    def _breakdown(self, attribute: str) -> list[Breakdown]:
        values: dict[str, Counter[str]] = {}
        for kind, number in self._counts.items():
            values.setdefault(getattr(kind, attribute), Counter())[kind.state] += number
        ranked = sorted(values.items(), key=lambda item: (-item[1].total(), item[0]))
        rest: Counter[str] = sum((states for _, states in ranked[NAMED:]), Counter())
        named = [*ranked[:NAMED], *([(OTHER, rest)] if rest else [])]
        return [Breakdown(value=value, devices=states.total(), states=dict(states)) for value, states in named]
