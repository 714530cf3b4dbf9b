"""What is written of an incident, when, and which of it people are told. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.detect.classes import TOGETHER_LABEL
from analytics.incidents.incident import is_cohort, place_of, sign_of
from ingest.contract.events import (
    DARKNESS,
    SILENCE,
    Affected,
    IncidentEvent,
    IncidentState,
    Symptom,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.incidents.incident import Incident, Member, Sign
    from ingest.contract.events import Signal

GROWS_MS = 300_000
"""An incident grows as long as it reached another series within this time."""
WRITE_MS = 10_000
"""Numbers that change are written no more often; people are told of none of that."""
TELLING_GROWTH = 10
"""People are told again when so many times the devices are affected."""
LISTED_SERIES = 100
LISTED_SYMPTOMS = 10


class Reason(StrEnum):
    """Why an incident was written; the first five people are told."""

    OPENED = "opened"
    CAUSE = "cause"  # what its devices share is known now, or is another thing
    GREW = "grew"  # ten times the devices
    RESOLVED = "resolved"
    MERGED = "merged"
    NUMBERS = "numbers"
    CALM = "calm"  # it grows no more


def due_at(incident: Incident, update_ms: int) -> int | None:
    """When (ms) something is to be written of it, as long as nothing else is said; None: nothing."""
    dues = []
    if not incident.written_at:
        return incident.newest
    if _news(incident) is not None:
        dues.append(incident.told_at + update_ms)
    if incident.changed:
        dues.append(incident.written_at + WRITE_MS)
    if incident.state is IncidentState.GROWING:
        dues.append(incident.newest + GROWS_MS)
    return min(dues, default=None)


def write(tenant: str, incident: Incident, at: int, update_ms: int) -> IncidentEvent:
    """An open incident at `at` (ms), marked as written; it is told where `due_at` says so."""
    news = _news(incident)
    is_grown = len(incident.members) > 1 and at - incident.newest < GROWS_MS
    before, incident.state = incident.state, IncidentState.GROWING if is_grown else IncidentState.OPEN
    reason = Reason.CALM if before is IncidentState.GROWING and not is_grown else Reason.NUMBERS
    if news is not None and (not incident.told or at >= incident.told_at + update_ms):
        reason = news
        incident.told, incident.told_at = incident.told + 1, at
        incident.told_devices, incident.told_cause = len(incident.devices), incident.cause
    incident.written_at, incident.changed = at, False
    return _event(tenant, incident, reason, at)


def write_end(tenant: str, incident: Incident, at: int, merged_into: str = "") -> IncidentEvent:
    """An incident that is over, or part of another."""
    incident.state = IncidentState.MERGED if merged_into else IncidentState.RESOLVED
    incident.told += 1
    reason = Reason.MERGED if merged_into else Reason.RESOLVED
    return msgspec.structs.replace(_event(tenant, incident, reason, at), ended=at, merged_into=merged_into)


def _news(incident: Incident) -> Reason | None:
    if not incident.told:
        return Reason.OPENED
    if incident.cause and incident.cause != incident.told_cause:
        return Reason.CAUSE
    # A dark site says of all its devices from the first moment on that nothing is known of them.
    is_grown = len(incident.devices) >= TELLING_GROWTH * incident.told_devices and DARKNESS not in incident.on_devices
    return Reason.GREW if is_grown else None


def _event(tenant: str, incident: Incident, reason: Reason, at: int) -> IncidentEvent:
    incident.written += 1
    members = sorted(incident.members.items(), key=lambda item: (item[1].signal.since, item[0]))
    symptoms = symptoms_of([member for _, member in members])
    root = symptoms[0].metric if symptoms else ""
    listed = [_affected(member) for _, member in members[:LISTED_SERIES]]
    reached = reached_by(incident)
    return IncidentEvent(
        incident=incident.name,
        tenant=tenant,
        state=incident.state,
        reason=reason.value,
        at=at,
        number=incident.written,
        since=incident.since,
        newest=incident.newest,
        told=incident.told,
        summary=_summary(incident, reached, symptoms, listed),
        devices=reached.devices,
        sites=reached.sites,
        series=len(members),
        active=incident.active,
        root_cause=root,
        cause_sentence=_cause(incident),
        cause=incident.shared,
        symptoms=symptoms[:LISTED_SYMPTOMS],
        affected=listed,
        left_out=len(members) - len(listed),
        trace=next((member.signal.trace for _, member in members if member.signal.trace), ""),
    )


def symptoms_of(members: Sequence[Member]) -> list[Symptom]:
    """Symptoms, the root cause first: the one that on most devices was the first to alarm.

    Where all metrics of a device were looked at together, it is the one ranked first there. Of several that began at once on a device the first is the one farthest from what is expected. Between equals: more devices, then the greater median
    deviation, then the name.
    """
    by_device: dict[str, list[Signal]] = {}
    by_sign: dict[Sign, dict[str, Signal]] = {}
    for signal in (member.signal for member in members):
        by_device.setdefault(place_of(signal), []).append(signal)
        by_sign.setdefault(sign_of(signal), {}).setdefault(place_of(signal), signal)
    first = Counter(
        sign_of(min(signals, key=lambda one: (not _is_ranked(one), one.since, -deviation(one), one.metric)))
        for signals in by_device.values()
    )
    found = [
        Symptom(
            metric=sign[0],
            above=sign[1],
            devices=len(on),
            first_on=first[sign],
            since=min(one.since for one in on.values()),
            deviation=float(f"{statistics.median(deviation(one) for one in on.values()):.9g}"),
        )
        for sign, on in by_sign.items()
    ]
    return sorted(found, key=lambda one: (-one.first_on, -one.devices, -one.deviation, one.metric, one.above))


def _is_ranked(signal: Signal) -> bool:
    return any(name == TOGETHER_LABEL for name, _ in signal.labels)


def deviation(signal: Signal) -> float:
    """How many of its scales a value is away from what is expected; silence is beyond any."""
    if signal.metric in (SILENCE, DARKNESS):
        return 1e9
    return min(abs(signal.value - signal.expected) / signal.scale, 1e9) if signal.scale > 0 else 0.0


def _affected(member: Member) -> Affected:
    signal = member.signal
    return Affected(
        site=signal.site,
        device=signal.device,
        metric=signal.metric,
        since=signal.since,
        until=member.until,
        labels=signal.labels,
        value=signal.value,
        expected=signal.expected,
        scale=signal.scale,
        score=signal.score,
        firmware=signal.firmware,
        hardware=signal.hardware,
        group=signal.group,
        sites=signal.sites,
        devices=signal.devices,
    )


class Reached(NamedTuple):
    """How many devices and sites; `cohorts`: as a whole, those whose devices are not known one by one."""

    devices: int
    sites: int
    cohorts: list[Signal]


def reached_by(incident: Incident) -> Reached:
    """Devices that alarm by themselves; where none does, those of the largest cohort."""
    cohorts = [incident.members[one.series[0]].signal for place, one in incident.devices.items() if is_cohort(place)]
    sites = [device.kind[0] for place, device in incident.devices.items() if not is_cohort(place)]
    if sites:
        return Reached(len(sites), len(set(sites)), cohorts)
    largest = max(cohorts, key=lambda one: (one.devices, one.sites, one.hardware, one.firmware))
    return Reached(largest.devices, largest.sites, cohorts)


def _summary(incident: Incident, reached: Reached, symptoms: Sequence[Symptom], listed: Sequence[Affected]) -> str:
    what = ", ".join(dict.fromkeys(_said(symptom) for symptom in symptoms[:3]))
    if len(reached.cohorts) == len(incident.devices):
        return _of_cohorts(reached, what, listed[0])
    if len(incident.devices) == 1:
        return _of_one(listed[0], what)
    sites = sorted({device.kind[0] for place, device in incident.devices.items() if not is_cohort(place)})
    where = f"at {sites[0]}" if len(sites) == 1 else f"at {len(sites)} sites"
    cause = _cause(incident)
    return f"{what} on {reached.devices:,} devices {where}{f'; {cause}' if cause else ''}"


def _of_cohorts(reached: Reached, what: str, first: Affected) -> str:
    whom = " and ".join(_kind_of(one) for one in reached.cohorts[:3])
    shift = f"{first.value - first.expected:+.2g} of their own scales"
    return f"{what} on {whom} as a whole, {reached.devices:,} series at {reached.sites} sites: {shift}"


def _kind_of(cohort: Signal) -> str:
    known = [
        f"{name} {value}" for name, value in (("hardware", cohort.hardware), ("firmware", cohort.firmware)) if value
    ]
    return " with ".join(known) or "all devices"


def _cause(incident: Incident) -> str:
    if incident.cause and incident.shared:
        return incident.shared[0].sentence
    return " and ".join(f"{_kind_of(one)} as a whole" for one in reached_by(incident).cohorts[:3])


def _of_one(first: Affected, what: str) -> str:
    if first.metric == DARKNESS:
        return f"nothing has been heard of {first.site} ({first.device})"
    if first.metric == SILENCE:
        return f"{first.device} at {first.site} has fallen silent"
    known = [f"{name} {value}" for name, value in (("firmware", first.firmware), ("hardware", first.hardware)) if value]
    kind = f" ({', '.join(known)})" if known else ""
    return f"{what} on {first.device} at {first.site}{kind}: {first.value:.4g}, expected {first.expected:.4g}"


def _said(symptom: Symptom) -> str:
    if symptom.metric == DARKNESS:
        return "site dark"
    return symptom.metric if symptom.metric == SILENCE else f"{symptom.metric} {'high' if symptom.above else 'low'}"
