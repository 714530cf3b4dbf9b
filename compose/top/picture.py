"""What is to be seen of a fleet at one moment, put together from the API's answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WEIGHTS = {"critical": 100, "error": 30, "warning": 10, "info": 1}
ANOMALY, SILENT = 3, 20
WORST = 50
ENDED = frozenset({"resolved", "merged"})


def plain(text: str) -> str:
    """The text with anything that a terminal would obey replaced: names and summaries come from devices."""
    return "".join(char if char.isprintable() else "�" for char in text)


class SiteLine(msgspec.Struct, frozen=True, kw_only=True):
    """One site; `lag_s` is of its slowest gateway."""

    site: str
    state: str
    devices: int
    silent: int
    lag_s: float
    backlog_bytes: int


class DeviceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A device that needs looking at; the greater `badness`, the sooner."""

    site: str
    device: str
    badness: int
    why: list[str]


class AlertLine(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that fires; `since` in ms."""

    name: str
    severity: str
    place: str
    since: int
    summary: str


class IncidentLine(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that goes on; `since` in ms, `cause` empty while nothing explains it."""

    incident: str
    state: str
    since: int
    devices: int
    sites: int
    summary: str
    cause: str


class RolloutLine(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout; `evidence` is log10 of its e-value as a share of what a fail needs."""

    rollout: str
    release: str
    state: str
    verdict: str
    evidence: float
    canary: int
    control: int
    rollback: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet at `at` (ms). `received_per_s` is None until two pictures tell it."""

    at: int
    devices: dict[str, int]
    received: int
    received_per_s: float | None
    balanced: bool
    unaccounted: int
    sites: list[SiteLine]
    incidents: list[IncidentLine]
    alerts: list[AlertLine]
    worst: list[DeviceLine]
    rollouts: list[RolloutLine]

    def problems(self) -> list[str]:
        """What is wrong, a line each; nothing when all is well."""
        found = [f"site {site.site} is {site.state}" for site in self.sites if site.state not in {"live", "behind"}]
        found += [f"incident {one.incident}: {one.summary}" for one in self.incidents]
        found += [f"alert {alert.name} of {alert.place}: {alert.summary}" for alert in self.alerts]
        found += [
            f"rollout {one.rollout}: fail" for one in self.rollouts if (one.verdict, one.state) == ("fail", "running")
        ]
        if not self.balanced:
            found.append(f"the ledger does not balance: {self.unaccounted} samples unaccounted; see `GET /v1/ledger`")
        return [plain(line) for line in found]


def look(ask: Callable[[str], dict[str, Any]], now: int, before: Picture | None = None) -> Picture:
    """A picture at `now` (ms); `ask` gets a path of the API and answers its JSON. With `before`, rates are told."""
    alerts = ask("/v1/alerts?state=firing&limit=1000")["data"]
    totals = ask("/v1/ledger")["data"]["totals"]
    silent = ask("/v1/devices?state=silent&limit=1000")["data"]
    anomalies = ask("/v1/anomalies?limit=1000")["data"]
    seconds = (now - before.at) / 1000 if before else 0.0
    grown = totals["received"] - before.received if before else 0
    return Picture(
        at=now,
        devices=ask("/v1/fleet")["data"]["states"],
        received=totals["received"],
        received_per_s=max(0.0, grown / seconds) if seconds > 0 else None,
        balanced=totals["balanced"],
        unaccounted=totals["unaccounted"],
        sites=[_site(site) for site in ask("/v1/sites")["data"]],
        incidents=[_incident(one) for one in ask("/v1/incidents?limit=200")["data"] if one["state"] not in ENDED],
        alerts=[_alert(alert) for alert in alerts],
        worst=worst(alerts, silent, anomalies),
        rollouts=[_rollout(rollout) for rollout in ask("/v1/rollouts?limit=50")["data"]],
    )


def worst(
    alerts: Iterable[dict[str, Any]], silent: Iterable[dict[str, Any]], anomalies: Iterable[dict[str, Any]]
) -> list[DeviceLine]:
    """Devices by how many alerts of which severity, anomalies and silences they have; the worst first."""
    badness: Counter[tuple[str, str]] = Counter()
    why: dict[tuple[str, str], list[str]] = {}

    def note(site: str, device: str, weight: int, reason: str) -> None:
        badness[site, device] += weight
        why.setdefault((site, device), []).append(reason)

    for alert in alerts:
        labels = alert["labels"]
        if "device" in labels:
            note(labels.get("site", ""), labels["device"], WEIGHTS.get(alert["severity"], 1), alert["name"])
    for device in silent:
        note(device["site"], device["device"], SILENT, "silent")
    for anomaly in anomalies:
        if anomaly["status"] != "left" and anomaly["device"]:
            note(anomaly["site"], anomaly["device"], ANOMALY, anomaly["metric"])
    ranked = sorted(badness.items(), key=lambda item: (-item[1], item[0]))[:WORST]
    return [
        DeviceLine(site=site, device=device, badness=value, why=list(dict.fromkeys(why[site, device])))
        for (site, device), value in ranked
    ]


def _site(site: dict[str, Any]) -> SiteLine:
    lags = [gateway["lag_ms"] for gateway in site["gateways"] if gateway["at"]]
    return SiteLine(
        site=site["site"],
        state=site["state"],
        devices=site["devices"],
        silent=site["states"].get("silent", 0),
        lag_s=max(lags, default=0) / 1000,
        backlog_bytes=site["backlog_bytes"],
    )


def _alert(alert: dict[str, Any]) -> AlertLine:
    labels = alert["labels"]
    place = "/".join(labels[name] for name in ("site", "device") if name in labels)
    return AlertLine(
        name=alert["name"],
        severity=alert["severity"],
        place=place or labels.get("rollout", labels.get("gateway", "")),
        since=alert["starts_at"],
        summary=alert["annotations"].get("summary", ""),
    )


def _incident(one: dict[str, Any]) -> IncidentLine:
    return IncidentLine(
        incident=one["incident"],
        state=one["state"],
        since=one["since"],
        devices=one["devices"],
        sites=one["sites"],
        summary=one["summary"],
        cause=one.get("cause_sentence", ""),
    )


def _rollout(rollout: dict[str, Any]) -> RolloutLine:
    verdict = rollout.get("verdict") or {}
    needed = verdict.get("threshold") or 0.0
    return RolloutLine(
        rollout=rollout["rollout"],
        release=rollout["release"],
        state=rollout["state"],
        verdict=verdict.get("verdict", ""),
        evidence=max(0.0, verdict["log10_e"] / needed) if needed else 0.0,
        canary=verdict.get("n_canary", 0),
        control=verdict.get("n_control", 0),
        rollback=(rollout.get("rollback") or {}).get("phase", ""),
    )
