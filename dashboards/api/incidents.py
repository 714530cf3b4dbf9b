"""The incidents of one tenant: open ones, and the newest of those that ended."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from dashboards.api.ordered import Key, Ordered
from ingest.contract.events import IncidentEvent, IncidentState

if TYPE_CHECKING:
    from collections.abc import Iterable

ENDED = frozenset({IncidentState.RESOLVED, IncidentState.MERGED})
_EVICT_SHARE = 10
_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(IncidentEvent)


class _Kept(NamedTuple):
    head: IncidentEvent  # without its series
    places: frozenset[str]
    whole: bytes


class IncidentBook:
    """Incidents by name, at most about `most_bytes` of them; what ended longest ago goes first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._incidents: dict[str, _Kept] = {}
        self._order = Ordered()

    def __len__(self) -> int:
        return len(self._incidents)

    def get(self, name: str) -> IncidentEvent | None:
        """One incident, whole."""
        kept = self._incidents.get(name)
        return _DECODER.decode(kept.whole) if kept else None

    def head(self, name: str) -> IncidentEvent | None:
        """One incident without its series."""
        kept = self._incidents.get(name)
        return kept.head if kept else None

    def put(self, event: IncidentEvent) -> str:
        """Take an incident's change; returns what became of it: taken or stale."""
        before = self._incidents.get(event.incident)
        if before is not None and event.number < before.head.number:
            return "stale"
        self.remove(event.incident)
        places = frozenset(f"{one.site}/{one.device}" for one in event.affected)
        kept = _Kept(msgspec.structs.replace(event, affected=[]), places, _ENCODER.encode(event))
        self._incidents[event.incident] = kept
        self._order.add(place_of(event))
        self._bytes += len(kept.whole)
        if self._bytes > self._most_bytes:
            self._evict()
        return "taken"

    def remove(self, name: str) -> bool:
        """Forget an incident; whether there was one."""
        kept = self._incidents.pop(name, None)
        if kept is not None:
            self._bytes -= len(kept.whole)
            self._order.remove(place_of(kept.head))
        return kept is not None

    def names(self) -> Iterable[str]:
        """All that are known."""
        return self._incidents.keys()

    def going_on(self) -> dict[IncidentState, int]:
        """How many there are of each state that is no end."""
        found = Counter(kept.head.state for kept in self._incidents.values())
        return {state: found[state] for state in IncidentState if state not in ENDED}

    def list(
        self, state: IncidentState | None, site: str, device: str, limit: int, after: Key | None = None
    ) -> list[IncidentEvent]:
        """Up to `limit` incidents without their series, behind `after` (a `place_of`); empty names match all.

        Those that go on first, then the newest change.
        """
        known = (self._incidents[key[-1]] for key in self._order.behind(after))
        return list(islice((kept.head for kept in known if _matches(kept, state, site, device)), limit))

    def _evict(self) -> None:
        # A tenth at once, so that a full book is not sorted for every change.
        ranked = sorted(self._incidents.values(), key=lambda kept: (kept.head.state not in ENDED, kept.head.at))
        for kept in ranked[: max(1, len(ranked) // _EVICT_SHARE)]:
            self.remove(kept.head.incident)


def place_of(incident: IncidentEvent) -> Key:
    """Where an incident stands in the list."""
    return (incident.state in ENDED, -incident.at, incident.incident)


def _matches(kept: _Kept, state: IncidentState | None, site: str, device: str) -> bool:
    places = [place.split("/", 1) for place in kept.places] if site or device else []
    is_there = not (site or device) or any(site in ("", s) and device in ("", d) for s, d in places)
    return is_there and state in (None, kept.head.state)
