"""The devices of one tenant, counted as they change."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from dashboards.api.device_counts import Breakdown, DeviceCounts
from dashboards.api.device_order import DeviceOrder, Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.contract.events import DeviceEvent

SCARCE = 30
"""A value that fewer than one of so many devices has is looked for among those that have it, any other by going through all."""


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
        self._counts = DeviceCounts()
        self._order = DeviceOrder()
        self._having: dict[tuple[str, str], set[Key]] = {}

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
            self._order.add(key)
        else:
            self._counts.count(before, -1)
        self._events[key] = event
        self._counts.count(event, 1)
        self._note_values(key, before, event)
        return "taken"

    def page(self, wanted: DeviceFilter, after: Key | None, limit: int) -> list[DeviceEvent]:
        """Up to `limit` matching devices behind `after`, by site and name."""
        events = (self._events[key] for key in self._candidates(wanted, after))
        return list(islice((event for event in events if wanted.matches(event)), limit))

    def prepare(self) -> None:
        """Put what is known in order before anybody asks."""
        self._order.prepare()

    def summary(self) -> FleetSummary:
        """The whole fleet, counted; costs as much as there are different values of attributes."""
        return FleetSummary(
            devices=len(self._events),
            states=dict(self._counts.states),
            firmware=self._counts.breakdown("firmware"),
            hardware=self._counts.breakdown("hardware"),
            group=self._counts.breakdown("group"),
        )

    def states_by_site(self) -> dict[str, dict[str, int]]:
        """Per site, how many devices are in which state."""
        return self._counts.sites()

    def states_of(self, site: str) -> dict[str, int]:
        """How many devices of a site are in which state."""
        return self._counts.of_site(site)

    def _note_values(self, key: Key, before: DeviceEvent | None, event: DeviceEvent) -> None:
        now = _values(event)
        for value in _values(before) - now if before else ():
            having = self._having[value]
            having.discard(key)
            if not having:
                del self._having[value]
        for value in now:
            self._having.setdefault(value, set()).add(key)

    def _candidates(self, wanted: DeviceFilter, after: Key | None) -> Iterator[Key]:
        # All that match are among them, in order; how many others are passed over is what a page costs.
        asked = [value for value in (("state", wanted.state), ("firmware", wanted.firmware)) if value[1]]
        having = [self._having.get(value, set()) for value in asked]
        places, scarce = self._order.span(wanted.site, after), min(having, key=len, default=None)
        if scarce is not None and len(scarce) * SCARCE < len(places):
            return (key for key in sorted(scarce) if after is None or key > after)
        found = self._order.holding(wanted.text, wanted.site, after) if wanted.text else self._order.at(places)
        for keys in having:
            found = filter(keys.__contains__, found)
        return found


def _values(event: DeviceEvent) -> set[tuple[str, str]]:
    return {("state", event.state.value), ("firmware", event.firmware)}
