"""What rules may say: one struct per kind."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from analytics.rules.spans import span_ms
from analytics.rules.words import check_words
from ingest.contract.topics import is_name

COMMON_WORDS = frozenset({"rule", "tenant", "severity"})
DEVICE_WORDS = frozenset({"site", "device", "firmware", "hardware", "group"})
Statistic = Literal["mean", "min", "max", "last", "sum", "count"]


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which devices and series: patterns (`*`, `?`, `[…]`); `labels` are those of the series."""

    site: str = "*"
    device: str = "*"
    group: str = "*"
    hardware: str = "*"
    firmware: str = "*"
    labels: dict[str, str] = {}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all rules have. Durations are texts as `analytics.rules.spans` reads them."""

    kind: ClassVar[str] = ""
    words: ClassVar[frozenset[str]] = frozenset()

    name: str
    where: Scope = Scope()
    hold: str = msgspec.field(default="0s", name="for")
    keep: str = msgspec.field(default="0s", name="keep_firing_for")
    severity: Literal["critical", "error", "warning", "info"] = "warning"
    runbook: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not is_name(self.name):
            raise ValueError(f"name is {self.name!r}, expected letters, digits and _.:@-")
        for name, text in (("for", self.hold), ("keep_firing_for", self.keep)):
            _named(name, span_ms, text)
        for name, text in self.annotations.items():
            _named(f"annotations.{name}", lambda text: check_words(text, self.known_words()), text)
        taken = sorted(self.labels.keys() & (self.words | COMMON_WORDS | {"alertname"}))
        if taken:
            raise ValueError(f"labels.{taken[0]}: alerts of this kind have a label or number of that name already")

    def known_words(self) -> frozenset[str]:
        """What annotations may mention."""
        return self.words | COMMON_WORDS | self.labels.keys()

    @property
    def hold_ms(self) -> int:
        """`for` in ms."""
        return span_ms(self.hold)

    @property
    def keep_ms(self) -> int:
        """`keep_firing_for` in ms."""
        return span_ms(self.keep)


class SeriesRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule about series, judged on closed windows in their own time."""

    words: ClassVar[frozenset[str]] = DEVICE_WORDS | {"metric", "value", "bound"}

    metric: str
    stale_after: str = "5m"
    """Without a window for so long, while its site is heard, an alert's condition is unknown."""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        super().__post_init__()
        _named("stale_after", span_ms, self.stale_after)

    @property
    def stale_ms(self) -> int:
        """`stale_after` in ms."""
        return span_ms(self.stale_after)


class Threshold(SeriesRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The window's `statistic` is beyond `above` (or `below`), until it is on the other side of `leave`."""

    kind: ClassVar[str] = "threshold"

    statistic: Statistic = "mean"
    above: float | None = None
    below: float | None = None
    leave: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        super().__post_init__()
        _check_bounds(self.above, self.below, self.leave)


class Rate(Threshold, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As Threshold, for the statistic's change per second since the window before."""

    kind: ClassVar[str] = "rate"


class Forecast(SeriesRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The line through the last `over` reaches `above` (or `below`) in less than `within`, as sure as its noise allows.

    Until the line's own value at that time is on the other side of `leave` (or of the bound).
    """

    kind: ClassVar[str] = "forecast"
    words: ClassVar[frozenset[str]] = SeriesRule.words | {"earliest", "latest", "when"}

    within: str
    over: str = "6h"
    statistic: Statistic = "mean"
    above: float | None = None
    below: float | None = None
    leave: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        super().__post_init__()
        _check_bounds(self.above, self.below, self.leave)
        for name, text in (("within", self.within), ("over", self.over)):
            _named(name, span_ms, text)
            if not span_ms(text):
                raise ValueError(f"{name} is {text!r}, expected more than no time at all")

    @property
    def within_s(self) -> float:
        """How far it looks ahead."""
        return span_ms(self.within) / 1000

    @property
    def over_s(self) -> float:
        """How far it looks back."""
        return span_ms(self.over) / 1000

    @property
    def bound(self) -> float:
        """Whichever is given."""
        return (self.below or 0.0) if self.above is None else self.above


class Absence(SeriesRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A series that reported has no window for `for`, while its site is heard."""

    kind: ClassVar[str] = "absence"
    words: ClassVar[frozenset[str]] = DEVICE_WORDS | {"metric", "value"}

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        super().__post_init__()
        if not self.hold_ms:
            raise ValueError("for: a rule of kind absence needs it: how long is too long?")


class Anomaly(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A detector says that a series is out of its ordinary range, with at least `least_score` (0 to 1)."""

    kind: ClassVar[str] = "anomaly"
    words: ClassVar[frozenset[str]] = DEVICE_WORDS | {"metric", "detector", "value", "expected", "scale", "score"}

    metric: str = "*"
    detector: str = "*"
    least_score: float = 0.0


class Silence(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device's lease ran out: it is silent altogether."""

    kind: ClassVar[str] = "silence"
    words: ClassVar[frozenset[str]] = DEVICE_WORDS | {"last_seen_ms"}


class Dark(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing is heard of a gateway."""

    kind: ClassVar[str] = "dark"
    words: ClassVar[frozenset[str]] = frozenset({"site", "gateway", "silent_for_s"})


class Incident(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many alerts have one cause."""

    kind: ClassVar[str] = "incident"
    words: ClassVar[frozenset[str]] = frozenset({"incident", "site"})


class Gate(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gate of a rollout whose name is like `rollout` says fail."""

    kind: ClassVar[str] = "gate"
    words: ClassVar[frozenset[str]] = frozenset({"rollout", "log10_e", "alpha"})

    rollout: str = "*"


class Ledger(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway's account does not balance, has gaps or a broken chain."""

    kind: ClassVar[str] = "ledger"
    words: ClassVar[frozenset[str]] = frozenset({"site", "gateway", "boot", "first_broken_seq"})


class Pipeline(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gateway's heartbeat says of the way of its data: `measure` is beyond `above`, until it is below `leave`.

    `backlog_bytes`: what waits at the gateway; `backlog_s`: how old the oldest of it is; `cut_off`: 1 while it is cut off from its
    broker and hears no device; `silent_share`: silent devices among all, 0 to 1.
    """

    kind: ClassVar[str] = "pipeline"
    words: ClassVar[frozenset[str]] = frozenset({"site", "gateway", "value", "bound"})

    measure: Literal["backlog_bytes", "backlog_s", "cut_off", "silent_share"]
    above: float
    leave: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        super().__post_init__()
        _check_bounds(self.above, None, self.leave)


def _check_bounds(above: float | None, below: float | None, leave: float | None) -> None:
    if (above is None) == (below is None):
        raise ValueError(f"needs either above or below, found {'neither' if above is None else 'both'}")
    if above is not None and leave is not None and leave > above:
        raise ValueError(f"leave is {leave}, expected at most above, {above}")
    if below is not None and leave is not None and leave < below:
        raise ValueError(f"leave is {leave}, expected at least below, {below}")


def _named(name: str, check: Any, text: str) -> None:
    try:
        check(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
