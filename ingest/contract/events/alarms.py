"""What detectors saw, and what people are told of it: topics `fleet.anomalies.v1`, `fleet.alerts.v1`."""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec


class AnomalyStatus(StrEnum):
    """The life of an anomaly of one series."""

    ENTERED = "entered"
    CONTINUES = "continues"
    LEFT = "left"


class AnomalyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.anomalies.v1`, key `{site}/{device}`: what a detector saw in one series at window end `at` (ms).

    Or in a cohort over sites: then `site` and `device` are empty, `sites` is not 0, `labels` say which, and the key is made of these.
    """

    tenant: str
    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    status: AnomalyStatus
    detector: str
    at: int
    since: int
    value: float
    expected: float
    scale: float
    score: float
    """Calibrated, 0 to 1."""
    tail_probability: float
    promised_rate: float = 0.0
    """False alerts per 1,000 series and day that this can be relied on for: more than asked for while a series is alone."""
    signal: str = ""
    """What of the series was never so before; of novelty only."""
    reason: str = ""
    firmware: str = ""
    hardware: str = ""
    group: str = ""
    episode: str = ""
    """A name for all that is said of one alarm of a series, see `episode_of`."""
    sites: int = 0
    """Of a cohort: at so many sites its devices are; 0 of a series."""
    devices: int = 0
    """Of a cohort: so many series of the metric."""


def episode_of(event: AnomalyEvent) -> str:
    """Equal for all events of one alarm of a series, from its beginning to its end."""
    identity = (event.tenant, event.site, event.device, event.metric, event.labels, event.since)
    return f"anm-{hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:16]}"


class ConditionStatus(StrEnum):
    """What is known of a rule's condition."""

    HOLDS = "holds"
    OVER = "over"
    UNKNOWN = "unknown"  # nothing is heard: neither that it holds nor that it is over
    WITHDRAWN = "withdrawn"  # the rule is not about the series any more, or the series is forgotten


class ConditionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.conditions.v1`, key `{site}/{device}`: what a rule says of one series at `at` (ms).

    `number` rises from one event of a series to the next. `value` is what was judged: a statistic, a rate per second, or the
    seconds without a window, or until the bound is reached; `bound` is what it was compared with. `earliest_at` and `latest_at` (ms):
    of a forecast that holds, when the bound is reached at the earliest and at the latest; None: not told, or perhaps never.
    """

    tenant: str
    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    rule: str
    status: ConditionStatus
    at: int
    number: int
    value: float
    bound: float = 0.0
    firmware: str = ""
    hardware: str = ""
    group: str = ""
    earliest_at: int | None = None
    latest_at: int | None = None


class RuleEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.rules.v1`, key the rule's name: a rule by which alerts are made, for every tenant, so since `at` (ms).

    Durations in seconds. `metric` is empty unless the rule is about one. Whom it is about (`where`) and its words are not told:
    they may name what is another tenant's.
    """

    name: str
    kind: str
    severity: str
    for_s: float
    keep_firing_s: float
    runbook: str
    at: int
    metric: str = ""
    built_in: bool = False
    enabled: bool = True


class AlertState(StrEnum):
    """The life of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # it fires, and somebody looks after it
    SUPPRESSED = "suppressed"  # it fires under a silence, a maintenance window or a parent that explains it
    STALE = "stale"  # it fires as far as is known, and nothing has been heard for too long
    RESOLVED = "resolved"


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topics `fleet.alerts.v1` (the newest of each) and `fleet.alerts.history.v1` (all), key fingerprint.

    An alert after one change of its life. Times in ms, 0 when not yet.
    """

    fingerprint: str
    tenant: str
    name: str
    state: AlertState
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    numbers: dict[str, float]
    changed_at: int
    pending_since: int
    starts_at: int
    ends_at: int = 0
    reason: str = ""
    told: bool = True
    """Receivers are to know of this life: false for one that fired and ended under a silence, or that its incident tells of."""
    flapping: bool = False
    by: str = ""
    """Who or what made the change: a person, `silence:ID`, `maintenance:ID`, `parent:FINGERPRINT`."""
    revision: int = 0
    """Receivers are told again of what fires already when this has risen."""
    evidence: dict[str, str] = {}
    """The series that shows it: site, device, metric and `label_…`; empty where none does."""

    def idempotency_key(self) -> str:
        """Equal for every delivery of the same change."""
        again = f":{self.revision}" if self.revision > 1 and self.state is AlertState.FIRING else ""
        return f"{self.fingerprint}:{self.starts_at}:{self.state.value}{again}"


class Matcher(msgspec.Struct, frozen=True, kw_only=True):
    """One label of an alert, or `alertname`, `severity`, `tenant`: like the pattern (`*`, `?`, `[…]`), or `unlike` it."""

    label: str
    pattern: str
    unlike: bool = False


class SilenceKind(StrEnum):
    """Why nobody wants to hear of something."""

    SILENCE = "silence"
    MAINTENANCE = "maintenance"


MOST_SILENCES = 10_000
"""So many are kept of a tenant; those that end first make room."""


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.silences.v1`, key id: alerts that match all of `matchers` tell nobody from `starts_at` to `ends_at` (ms)."""

    id: str
    tenant: str
    matchers: list[Matcher]
    starts_at: int
    ends_at: int
    by: str
    at: int
    comment: str = ""
    kind: SilenceKind = SilenceKind.SILENCE


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.acknowledgements.v1`, key fingerprint: somebody looks after the alert whose life began at `starts_at`."""

    fingerprint: str
    tenant: str
    starts_at: int
    by: str
    at: int
    comment: str = ""
    withdrawn: bool = False
