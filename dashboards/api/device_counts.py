"""Devices counted by what they are and what state they are in, kept so as they change."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ingest.contract.events import DeviceEvent

NAMED = 40
"""How many values of an attribute are listed by name; the rest is counted as `other`."""
OTHER = "other"
ATTRIBUTES = ("site", "firmware", "hardware", "group")


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Devices with one value of an attribute, by state."""

    value: str
    devices: int
    states: dict[str, int]


class DeviceCounts:
    """Per value of each attribute, how many devices are in which state: asking costs as much as there are values."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self._by: dict[str, dict[str, Counter[str]]] = {attribute: {} for attribute in ATTRIBUTES}

    def count(self, event: DeviceEvent, by: int) -> None:
        """A device has come to be so (1), or is so no more (-1)."""
        state = event.state.value
        _add(self.states, state, by)
        for attribute, values in self._by.items():
            value = getattr(event, attribute)
            states = values.setdefault(value, Counter())
            _add(states, state, by)
            if not states:
                del values[value]

    def of_site(self, site: str) -> dict[str, int]:
        """How many of a site's devices are in which state."""
        return dict(self._by["site"].get(site, {}))

    def sites(self) -> dict[str, dict[str, int]]:
        """The same of every site."""
        return {site: dict(states) for site, states in self._by["site"].items()}

    def breakdown(self, attribute: str) -> list[Breakdown]:
        """The values with the most devices first; beyond `NAMED` of them as one."""
        ranked = sorted(self._by[attribute].items(), key=lambda item: (-item[1].total(), item[0]))
        rest: Counter[str] = sum((states for _, states in ranked[NAMED:]), Counter())
        named = [*ranked[:NAMED], *([(OTHER, rest)] if rest else [])]
        return [Breakdown(value=value, devices=states.total(), states=dict(states)) for value, states in named]


def _add(counts: Counter[str], name: str, by: int) -> None:
    counts[name] += by
    if not counts[name]:
        del counts[name]
