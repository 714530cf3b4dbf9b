"""Alarms to incidents: one tenant's, in event time. Nothing here knows the time but from what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.incidents.book import Changes, Merged
from analytics.incidents.causes import (
    CHANCE,
    LEAST_DEVICES,
    Explained,
    Suspect,
    explain,
    has,
    together,
)
from analytics.incidents.incident import MEMBER_BYTES, Incident, Sign, is_device, key_of, name_of, place_of, sign_of
from analytics.incidents.ranking import PAIR_PENALTY, Attributes, rank, shared
from ingest.contract.events import DARKNESS, SILENCE, Signal, SignalKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analytics.incidents.book import Book
    from analytics.incidents.config import IncidentsConfig
    from analytics.incidents.fleet import Fleet, Kind

LISTED = 5
"""So many attributes are told of an incident, the likeliest."""
MOST_SHARE = 0.6
"""What is to be the cause of an incident as a whole, so many of its devices must have."""
HALF = 0.5
"""Who joins an incident because it has the cause's attributes has a symptom of so many of its devices."""
LOOKED_AGAIN = 1.1
"""The cause of an incident is looked for again whenever it has so many times the devices."""


class Grouping:
    """Pure: the same signals in the same order lead to the same incidents."""

    def __init__(self, book: Book, fleet: Fleet, config: IncidentsConfig) -> None:
        self.book, self.fleet = book, fleet
        self._most = config.incident_bytes // MEMBER_BYTES
        self._together_ms, self._recent_ms = round(config.together_s * 1000), round(config.recent_s * 1000)
        self._resolve_ms = round(config.resolve_after_s * 1000)
        self._of_place: dict[str, dict[str, None]] = {}
        for incident in book.open.values():
            for place in incident.devices:
                self._of_place.setdefault(place, {})[incident.name] = None

    def step(self, signals: Iterable[Signal], moment: int) -> Changes:
        """Let time pass until `moment` (ms), then take the signals of this moment, in their order."""
        changes, news = Changes(), False
        self._end(moment, changes)
        for signal in signals:
            news |= self._take(signal)
        if news:
            self._look_for_causes(moment, changes)
            self._merge_alike(changes)
        return changes

    # What is said

    def _take(self, signal: Signal) -> bool:
        """Whether something is news that nothing explains yet."""
        if signal.kind is not SignalKind.DEVICE:
            return self._alarm(signal) if signal.active else self._over(key_of(signal), signal.at)
        place = place_of(signal)
        silence = msgspec.structs.replace(signal, metric=SILENCE, labels=())
        if signal.retired:
            self.fleet.remove(place)
            for name in self._of_place.get(place, {}):
                for key in self.book.open[name].devices[place].series:
                    self._over(key, signal.at)
            return False
        self.fleet.put(place, _kind(signal))
        return self._alarm(silence) if signal.active else self._over(key_of(silence), signal.at)

    def _over(self, key: str, at: int) -> bool:
        name = self.book.of_series.get(key)
        if name is not None:
            self.book.open[name].leave(key, at)
        return False

    def _alarm(self, signal: Signal) -> bool:
        key = key_of(signal)
        name = self.book.of_series.get(key)
        if name is not None:
            incident = self.book.open[name]
            member = incident.members[key]
            if signal.at > max(member.until, member.signal.at):  # not what was said before and the log holds twice
                incident.again(key, signal)
            return False
        if len(self.book.of_series) >= self._most:
            self.book.full += 1
            return False
        return self._place(key, signal)

    def _place(self, key: str, signal: Signal) -> bool:
        place, kind = place_of(signal), self._kind_of(signal)
        incident = self._known(place, kind, signal)
        is_new = incident is None
        if incident is None:
            incident = self._found(key, signal)
            incident.cause = _own_cause(signal)
        incident.add(key, signal, kind)
        self.book.of_series[key] = incident.name
        self._of_place.setdefault(place, {})[incident.name] = None
        self._look_again(incident)
        return is_new or not incident.cause

    def _kind_of(self, signal: Signal) -> Kind:
        known = self.fleet.kind_of(place_of(signal))
        if known is None and signal.kind not in (SignalKind.DARK, SignalKind.COHORT):
            known = _kind(signal)
            self.fleet.put(place_of(signal), known)
        return known or _kind(signal)

    def _found(self, key: str, signal: Signal) -> Incident:
        number = 0
        while (name := name_of(self.book.tenant, key, signal.since, number)) in self.book.open:
            number += 1
        incident = self.book.open[name] = Incident(name, since=signal.since, newest=signal.since)
        return incident

    def _known(self, place: str, kind: Kind, signal: Signal) -> Incident | None:
        """The open incident that a series which begins to alarm is part of: its device's own, or that of its cause."""
        sign, near = sign_of(signal), signal.since - self._together_ms
        own = [self.book.open[name] for name in self._of_place.get(place, {})]
        found = [(0, 0.0, one.name) for one in own if one.devices[place].newest >= near]
        alike = [one for one in self._explained() if has(kind, one.cause) and self._is_like(one, sign)]
        found = found or [(1, one.shared[0].log10_p if one.shared else 0.0, one.name) for one in alike]
        return self.book.open[min(found)[2]] if found else None

    def _explained(self) -> list[Incident]:
        return [incident for incident in self.book.open.values() if incident.cause]

    def _is_like(self, incident: Incident, sign: Sign) -> bool:
        is_dark = DARKNESS in incident.on_devices
        return incident.share_of(sign) >= HALF or (is_dark and sign[0] == SILENCE)

    # Causes

    def _look_for_causes(self, moment: int, changes: Changes) -> None:
        # One after another: what else the incidents of a group hold is explained along with it.
        while group := next(explain(self._suspects(moment), self.fleet), None):
            self._gather(group, changes)
        # Whom attributes do not explain, the moment may.
        for group in list(together(self._suspects(moment), self.book.usual_of_day(moment), self._together_ms)):
            self._gather(group, changes)

    def _suspects(self, moment: int) -> list[Suspect]:
        recent = [
            incident
            for incident in self.book.open.values()
            if not incident.cause and incident.newest >= moment - self._recent_ms
        ]
        found = [
            Suspect(device.series[0], place, device.kind, incident.signs_of(place), device.newest)
            for incident in recent
            for place, device in incident.devices.items()
            if is_device(place)
        ]
        return sorted(found, key=lambda one: (one.since, one.key))

    def _gather(self, group: Explained, changes: Changes) -> None:
        """All these devices are of one incident from now on, and what else the incidents of most of them hold."""
        places: dict[str, list[str]] = {}
        for one in group.suspects:
            places.setdefault(self.book.of_series[one.key], []).append(one.place)
        whole = [name for name, ours in places.items() if 2 * len(ours) >= len(self.book.open[name].devices)]
        first = min((self.book.open[name] for name in whole), key=_age, default=None) or self._carved(group.suspects)
        first.cause = group.cause or first.cause
        for name, ours in places.items():
            giver = self.book.open[name]
            if giver is not first:
                self._give(giver, first, list(giver.devices) if name in whole else ours, changes)
        self._look_again(first)

    def _carved(self, suspects: Sequence[Suspect]) -> Incident:
        founder = min(suspects, key=lambda one: (one.since, one.place)).key
        return self._found(founder, self.book.open[self.book.of_series[founder]].members[founder].signal)

    def _give(self, giver: Incident, taker: Incident, places: Sequence[str], changes: Changes) -> None:
        before = msgspec.structs.replace(giver, members=dict(giver.members), devices=dict(giver.devices))
        giver.give(taker, places)
        for place in places:
            names = self._of_place[place]
            del names[giver.name]
            names[taker.name] = None
            for key in taker.devices[place].series:
                self.book.of_series[key] = taker.name
        if not giver.devices:
            del self.book.open[giver.name]
            if giver.written_at:
                changes.merged.append(Merged(before, taker.name))

    def _look_again(self, incident: Incident) -> None:
        devices = len(incident.devices)
        if devices < LEAST_DEVICES or devices < LOOKED_AGAIN * incident.looked_at_devices:
            return
        incident.looked_at_devices = devices
        ranking = rank(self.fleet.counted_with(_kinds(incident)))
        incident.shared = shared(ranking, LISTED)
        best = incident.shared[0] if incident.shared else None
        if best and best.log10_p <= CHANCE and best.affected >= max(LEAST_DEVICES, MOST_SHARE * devices):
            incident.cause = tuple(best.attributes.items())

    def _merge_alike(self, changes: Changes) -> None:
        """Incidents of one cause are one; so are two that one cause explains better than two causes do."""
        for incident in sorted(self._explained(), key=_age):
            if incident.name not in self.book.open or not incident.changed:
                continue
            other = next((one for one in sorted(self._explained(), key=_age) if self._are_one(incident, one)), None)
            if other is not None:
                first, second = sorted((incident, other), key=_age)
                self._give(second, first, list(second.devices), changes)
                first.looked_at_devices = 0
                self._look_again(first)

    def _are_one(self, one: Incident, other: Incident) -> bool:
        if one is other or one.cause == other.cause:
            return one is not other
        large = min(len(one.devices), len(other.devices)) >= LEAST_DEVICES and one.shared and other.shared
        if not large or not one.on_devices.keys() & other.on_devices.keys():
            return False
        best = shared(rank(self.fleet.counted_with(dict([*_kinds(one), *_kinds(other)]).items())), 1)
        apart = one.shared[0].log10_p + other.shared[0].log10_p
        return bool(best) and best[0].log10_p < apart - PAIR_PENALTY

    # Ends

    def _end(self, moment: int, changes: Changes) -> None:
        over = [one for one in self.book.open.values() if not one.active and self.ends_at(one) <= moment]
        for incident in sorted(over, key=lambda one: (one.quiet_since, one.name)):
            del self.book.open[incident.name]
            for key in incident.members:
                del self.book.of_series[key]
            for place in incident.devices:
                del self._of_place[place][incident.name]
                if not self._of_place[place]:
                    del self._of_place[place]
            changes.resolved.append(incident)
            if len(incident.devices) == 1 and is_device(min(incident.devices)):
                self.book.note_usual(incident)

    def ends_at(self, incident: Incident) -> int:
        """When (ms) an incident of which nothing alarms any more is over."""
        return incident.quiet_since + self._resolve_ms


def _kind(signal: Signal) -> Kind:
    return signal.site, signal.group, signal.hardware, signal.firmware


def _kinds(incident: Incident) -> list[tuple[str, Kind]]:
    return [(place, device.kind) for place, device in incident.devices.items() if is_device(place)]


def _own_cause(signal: Signal) -> Attributes:
    """What a dark site or a cohort explains by itself."""
    if signal.kind is SignalKind.COHORT:
        kind = (("hardware", signal.hardware), ("firmware", signal.firmware))
        return tuple((name, value) for name, value in kind if value)
    return (("site", signal.site),) if signal.metric == DARKNESS else ()


def _age(incident: Incident) -> tuple[int, str]:
    return incident.since, incident.name
