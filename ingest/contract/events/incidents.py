"""Alarms that share a time and a cause: topic `fleet.incidents.v1`; and what they are made from, `fleet.summaries.v1`."""

from __future__ import annotations

from enum import StrEnum

import msgspec

SILENCE = "silence"
"""The symptom of a device whose lease ran out."""
DARKNESS = "site_dark"
"""The symptom of a gateway that is not heard."""


class SignalKind(StrEnum):
    """What a signal is about."""

    ANOMALY = "anomaly"  # a series behaves as it should not, or does so no more
    DEVICE = "device"  # what a device is, and whether it is heard
    COHORT = "cohort"  # like devices of many sites have shifted together, or are back; `site` and `device` are empty
    DARK = "dark"  # a gateway is not heard, or is heard again; `device` is its name


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was said of a device at event time `at` (ms); an alarm has lasted from `since` on."""

    kind: SignalKind
    site: str
    device: str
    at: int
    since: int = 0
    active: bool = False
    """Of an anomaly and of darkness: whether it goes on. Of a device: whether it is silent."""
    retired: bool = False
    metric: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    value: float = 0.0
    expected: float = 0.0
    scale: float = 0.0
    score: float = 0.0
    firmware: str = ""
    hardware: str = ""
    group: str = ""
    sites: int = 0
    devices: int = 0
    """Of a cohort: at how many sites it is, and of how many series."""
    trace: str = ""


class SummaryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.summaries.v1`, key tenant: what was said of a tenant's devices, in the order in which it is decided on.

    `at` (ms) is the clock of who wrote it down: all decisions take their time from here. Without signals it only tells the time.
    """

    tenant: str
    at: int
    signals: list[Signal] = []


class IncidentState(StrEnum):
    """The life of an incident."""

    OPEN = "open"
    GROWING = "growing"  # it reached another device within the last minutes
    RESOLVED = "resolved"
    MERGED = "merged"  # it turned out to be part of `merged_into`


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What the affected have in common: `affected` of `of_affected` have these attributes, and `fleet` of `of_fleet`.

    `log10_p` is the logarithm of how probable so many or more are by chance (hypergeometric), corrected for all attributes that
    were looked at (Holm). Of `metric` series are counted, of all else devices.
    """

    attributes: dict[str, str]
    affected: int
    of_affected: int
    fleet: int
    of_fleet: int
    log10_p: float
    sentence: str


class Symptom(msgspec.Struct, frozen=True, kw_only=True):
    """One metric (or `silence`, `site_dark`) of an incident: on how many devices, since when (ms), how far from what is expected.

    `first_on`: on so many devices it was the first to alarm. `deviation`: the median of |value - expected| / scale.
    """

    metric: str
    above: bool
    devices: int
    first_on: int
    since: int
    deviation: float


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """One series of an incident; times in ms, `until` is 0 while it lasts.

    Or a cohort over sites: then `site` and `device` are empty, it is at so many `sites`, and of so many series (`devices`).
    """

    site: str
    device: str
    metric: str
    since: int
    until: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    value: float = 0.0
    expected: float = 0.0
    scale: float = 0.0
    score: float = 0.0
    firmware: str = ""
    hardware: str = ""
    group: str = ""
    sites: int = 0
    devices: int = 0


class IncidentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.incidents.v1`, key incident: all that is known of it after one change at event time `at` (ms).

    `number` rises with each event of the incident. `told` counts the changes that people are told of; `reason` is why this one was written. `devices`, `sites` and `series` are
    all that it ever reached, `active` the series that still alarm. `cause` and `symptoms` begin with the likeliest. `affected`
    holds the series that alarmed first; `left_out` of them are not listed.
    """

    incident: str
    tenant: str
    state: IncidentState
    reason: str
    at: int
    number: int
    since: int
    newest: int
    told: int
    summary: str
    devices: int
    sites: int
    series: int
    active: int
    ended: int = 0
    root_cause: str = ""
    cause_sentence: str = ""
    """What explains it, in words; empty as long as nothing does."""
    cause: list[Shared] = []
    symptoms: list[Symptom] = []
    affected: list[Affected] = []
    left_out: int = 0
    merged_into: str = ""
    trace: str = ""
    """The `traceparent` of what began it."""
