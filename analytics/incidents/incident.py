"""What is remembered of an incident while it lasts: its devices, their series, and what people were told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from analytics.incidents.fleet import Kind
from analytics.incidents.ranking import Attributes
from ingest.contract.events import DARKNESS, SILENCE, IncidentState, Shared, Signal, SignalKind

if TYPE_CHECKING:
    from collections.abc import Iterable

Sign = tuple[str, bool]
"""A metric, and whether its values are above what is expected."""

MEMBER_BYTES = 900
"""What a series takes in memory while its incident lasts."""


class Member(msgspec.Struct):
    """One series of an incident, as it was said when it began; `until` (ms) is 0 while it lasts."""

    signal: Signal
    until: int = 0


class Device(msgspec.Struct):
    """A device of an incident: what it was, when (ms) its newest series began, and the keys of its series."""

    kind: Kind
    newest: int
    series: list[str]


class Incident(msgspec.Struct):
    """One incident; times in ms. `cause`: the attributes that explain it, () as long as nothing does."""

    name: str
    since: int
    newest: int
    members: dict[str, Member] = {}
    devices: dict[str, Device] = {}
    on_devices: dict[str, int] = {}
    """On how many devices there is which symptom, by `word_of`."""
    active: int = 0
    quiet_since: int = 0
    cause: Attributes = ()
    shared: list[Shared] = []
    looked_at_devices: int = 0
    """So many devices it had when its cause was looked for last."""
    changed: bool = True
    """It is not any more what was written of it."""
    state: IncidentState = IncidentState.OPEN
    told: int = 0
    told_at: int = 0
    told_devices: int = 0
    told_cause: Attributes = ()
    written_at: int = 0
    written: int = 0
    """So many events there are of it."""

    def add(self, key: str, signal: Signal, kind: Kind) -> None:
        """A series that alarms."""
        place, before = place_of(signal), self._signs_of(place_of(signal))
        device = self.devices.setdefault(place, Device(kind, signal.since, []))
        device.series.append(key)
        device.newest = max(device.newest, signal.since)
        self.members[key] = Member(signal)
        self._count(self._signs_of(place) - before, 1)
        self.changed = True
        self.since, self.newest = min(self.since, signal.since), max(self.newest, signal.since)
        self.active += 1

    def again(self, key: str, signal: Signal) -> None:
        """A series of it alarms once more."""
        member, device = self.members[key], self.devices[place_of(signal)]
        if member.until:
            self.active += 1
            device.newest = max(device.newest, signal.since)
        before = self._signs_of(place_of(signal))
        member.signal, member.until = signal, 0
        after = self._signs_of(place_of(signal))
        self._count(before - after, -1)
        self._count(after - before, 1)
        self.changed = True
        self.newest = max(self.newest, signal.since)

    def leave(self, key: str, at: int) -> None:
        """A series of it is as it should be."""
        member = self.members[key]
        if not member.until:
            member.until = max(at, 1)
            self.active -= 1
            self.changed = True
            self.quiet_since = max(self.quiet_since, at)

    def give(self, other: Incident, places: Iterable[str]) -> None:
        """These devices are `other`'s from now on."""
        for place in places:
            before = other._signs_of(place)
            self._count(self._signs_of(place), -1)
            device = self.devices.pop(place)
            theirs = other.devices.setdefault(place, Device(device.kind, device.newest, []))
            theirs.series += device.series
            theirs.newest = max(theirs.newest, device.newest)
            for key in device.series:
                self._hand_over(key, other)
            other._count(other._signs_of(place) - before, 1)
        other.quiet_since = max(other.quiet_since, self.quiet_since)
        self.changed = other.changed = True

    def signs_of(self, place: str) -> frozenset[Sign]:
        """The symptoms of one of its devices."""
        return frozenset(self._signs_of(place))

    def share_of(self, sign: Sign) -> float:
        """The share of its devices that have a symptom."""
        return self.on_devices.get(word_of(sign), 0) / max(len(self.devices), 1)

    def _signs_of(self, place: str) -> set[Sign]:
        device = self.devices.get(place)
        return {sign_of(self.members[key].signal) for key in device.series} if device else set()

    def _count(self, signs: Iterable[Sign], by: int) -> None:
        for word in map(word_of, signs):
            self.on_devices[word] = self.on_devices.get(word, 0) + by
            if not self.on_devices[word]:
                del self.on_devices[word]

    def _hand_over(self, key: str, other: Incident) -> None:
        member = other.members[key] = self.members.pop(key)
        self.active -= not member.until
        other.active += not member.until
        other.since, other.newest = min(other.since, member.signal.since), max(other.newest, member.signal.since)


def key_of(signal: Signal) -> str:
    """The series that a signal is about."""
    labels = "".join(f"\n{name}\t{value}" for name, value in signal.labels)
    return f"{signal.site}/{signal.device}/{signal.metric}{labels}"


def place_of(signal: Signal) -> str:
    """The device that a signal is about, `gateway:…` for a gateway, and what begins with a slash for a cohort."""
    if signal.kind is SignalKind.COHORT:
        return f"/{signal.hardware}/{signal.firmware}"
    name = f"gateway:{signal.device}" if signal.kind is SignalKind.DARK else signal.device
    return f"{signal.site}/{name}"


def is_cohort(place: str) -> bool:
    """Whether this is no single device."""
    return place.startswith("/")


def is_device(place: str) -> bool:
    """Whether this is one of the fleet's."""
    return not is_cohort(place) and "/gateway:" not in place


def sign_of(signal: Signal) -> Sign:
    """The symptom that a signal is."""
    return signal.metric, signal.value >= signal.expected


def word_of(sign: Sign) -> str:
    """A symptom in words: `memory above`, `silence`."""
    metric, above = sign
    return metric if metric in (SILENCE, DARKNESS) else f"{metric} {'above' if above else 'below'}"


def name_of(tenant: str, key: str, since: int, number: int) -> str:
    """An incident's name: equal whenever the same series founds it."""
    digest = hashlib.sha256(msgspec.json.encode((tenant, key, since, number))).hexdigest()
    return f"inc-{digest[:12]}"
