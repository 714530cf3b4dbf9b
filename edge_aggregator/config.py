"""Settings of an edge aggregator, checked when they are read."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_aggregator.quotas.config import QuotaConfig
from edge_aggregator.receive.config import BrokerConfig, ListenerConfig
from edge_aggregator.recorder.config import RecorderConfig
from edge_aggregator.resolution.config import AdaptiveConfig
from edge_aggregator.rules.config import AlarmsConfig, RuleConfig, check_rules
from ingest.contract.topics import MQTT_ROOT, is_name

_MIB = 1024 * 1024
_DAY_S = 86_400.0
_MOST_SERIES = 1 << 22
_MOST_SAMPLES = 1 << 20
_MOST_SHOWN = 1440
_MOST_WIDTH_S = 86_400.0


class MetricConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of the metrics whose name matches `metric`, a shell pattern; the first match counts."""

    metric: str
    width_s: float = 0.0
    """Window width in seconds, 0 for `window_s`."""
    kind: Literal["", "gauge", "counter", "state"] = ""
    """Counters have their growth told, states their changes; "" for counters by name (`…_total`), else gauges."""
    quantiles: bool = False
    """Whether windows carry a sketch from which quantiles are read, within 1 %."""
    early_s: float = 0.0
    """How often a window is shown before it ends, in seconds of its samples' time; 0 for never."""

    quiet_s: float = 0.0
    """Width of a series' windows while they stay within its own noise (`adaptive.band`), in seconds; 0 for never."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.quiet_s:
            check_width("quiet_s", self.quiet_s)
        if self.width_s:
            check_width("width_s", self.width_s)
        if self.early_s:
            check_width("early_s", self.early_s)


class EdgeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway: who it is, where devices are heard, how windows close, and how much it may keep.

    Names ending in `_s` are seconds, in `_bytes` bytes. Raises ValueError with what was found and what to do.
    """

    tenant: str
    site: str
    gateway: str
    key_file: str
    """The gateway's Ed25519 private key, PEM, readable by its owner only."""
    data_dir: str
    """Journal and state; on a disk that keeps what it has synced."""
    centre_keys: list[str] = []
    """Public keys whose commands are obeyed: base64 of the raw 32 bytes."""
    broker: BrokerConfig | None = None
    listener: ListenerConfig | None = None

    window_s: float = 10.0
    metrics: list[MetricConfig] = []
    adaptive: AdaptiveConfig = AdaptiveConfig()
    allowed_lateness_s: float = _DAY_S
    """How far behind its device's newest sample a window may still be corrected."""
    idle_close_s: float = 30.0
    """A device that is silent for so long has its windows closed by the wall clock."""
    future_tolerance_s: float = 60.0
    max_age_s: float = 30 * _DAY_S
    """Samples that are older than this when they arrive are rejected: no store would keep them."""

    lease_s: float = 300.0
    heartbeat_s: float = 5.0

    commit_interval_s: float = 0.1
    commit_bytes: int = _MIB
    commit_samples: int = 65_536
    flush_interval_s: float = 1.0
    intake_bytes: int = 8 * _MIB
    max_payload_bytes: int = _MIB
    max_series: int = 100_000
    max_devices: int = 10_000
    quotas: QuotaConfig = QuotaConfig()
    rules: list[RuleConfig] = []
    alarms: AlarmsConfig = AlarmsConfig()

    journal_bytes: int = 2048 * _MIB
    journal_file_bytes: int = 64 * _MIB
    journal_age_s: float = 3 * _DAY_S
    journal_key_file: str = ""
    """AES-256 keys that seal the journal's blocks, base64 of 32 bytes each, one a line: the first one seals."""
    journal_key_env: str = ""
    """The same from a variable of the environment."""
    journal_merge_s: float = 60.0
    """So many seconds of small blocks become one dense block; 0: never."""
    journal_merge_samples: int = 131_072
    outbox_bytes: int = 1024 * _MIB
    historical_after_s: float = 300.0
    """A batch that has waited longer than this is sent as backlog."""
    backlog_bytes_per_s: int = 32 * _MIB
    """The most that a backlog takes of the uplink, before compression; it takes less while the brokers are slow."""
    backlog_patience_s: float = 0.5
    """Brokers that take longer for an append are slow."""
    command_retry_s: float = 2.0
    """First pause before a command that was not acknowledged is published again; doubles up to a minute."""
    recorder: RecorderConfig = RecorderConfig()

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        self._check_names()
        self._check_times()
        self._check_sizes()
        check_rules(self.rules)

    def _check_names(self) -> None:
        for field in ("tenant", "site", "gateway"):
            name = getattr(self, field)
            if not is_name(name):
                raise ValueError(f"{field} is {name!r}, expected a name of letters, digits and _.:@-")
        if self.broker and self.listener:
            raise ValueError("both broker and listener are given: a gateway reads from one of them, remove the other")
        if self.listener and self.listener.site != self.site:
            raise ValueError(f"listener.site is {self.listener.site!r}, expected the gateway's own {self.site!r}")
        for topic in self.broker.topics if self.broker else ():
            self._check_site_of(topic)
        if self.journal_key_file and self.journal_key_env:
            raise ValueError("both journal_key_file and journal_key_env are given: keep the keys in one place")

    def _check_site_of(self, topic: str) -> None:
        levels = topic.split("/")
        if levels[:2] == MQTT_ROOT.split("/") and levels[2:3] not in ([self.site], ["+"], ["#"]):
            raise ValueError(
                f"broker.topics has {topic!r}, but site is {self.site!r}: all of it would be rejected; name one of them anew"
            )

    def _check_adaptive(self) -> None:
        check_width("adaptive.width_s", self.adaptive.width_s)
        widest = max([self.window_s, *(metric.width_s for metric in self.metrics)])
        if self.adaptive.width_s >= widest:
            raise ValueError(
                f"adaptive.width_s is {self.adaptive.width_s}, expected less than the usual width of windows, {widest}"
            )

    def _check_times(self) -> None:
        check_width("window_s", self.window_s)
        if self.adaptive.width_s:
            self._check_adaptive()
        for metric in self.metrics:
            if metric.quiet_s and metric.quiet_s % (metric.width_s or self.window_s):
                raise ValueError(
                    f"quiet_s of {metric.metric} is {metric.quiet_s}, expected a multiple of its windows' width"
                )
            if metric.early_s and (metric.width_s or self.window_s) > _MOST_SHOWN * metric.early_s:
                raise ValueError(
                    f"early_s of {metric.metric} is {metric.early_s}: a window would be shown more than {_MOST_SHOWN} times"
                )
        positive = (
            "lease_s",
            "heartbeat_s",
            "commit_interval_s",
            "flush_interval_s",
            "command_retry_s",
            "max_age_s",
            "backlog_patience_s",
        )
        for field in positive:
            if not getattr(self, field) > 0:
                raise ValueError(f"{field} is {getattr(self, field)}, expected more than 0 seconds")
        for field in (
            "journal_merge_s",
            "allowed_lateness_s",
            "idle_close_s",
            "future_tolerance_s",
            "historical_after_s",
        ):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field} is {getattr(self, field)}, expected at least 0 seconds")
        if self.journal_age_s < self.allowed_lateness_s:
            raise ValueError(
                f"journal_age_s is {self.journal_age_s:g}, less than allowed_lateness_s {self.allowed_lateness_s:g}: "
                "late windows are recomputed from the journal, keep it as long"
            )

    def _check_sizes(self) -> None:
        for field in ("commit_samples", "journal_merge_samples"):
            if not 0 < getattr(self, field) <= _MOST_SAMPLES:
                raise ValueError(f"{field} is {getattr(self, field)}, expected 1 to {_MOST_SAMPLES}")
        bounds = {"journal_file_bytes": 64 * 1024, "outbox_bytes": 16 * 1024, "commit_bytes": 1}
        for field, least in (bounds | {"backlog_bytes_per_s": 1024}).items():
            if getattr(self, field) < least:
                raise ValueError(f"{field} is {getattr(self, field)}, expected at least {least} bytes")
        if self.journal_bytes < 2 * self.journal_file_bytes:
            raise ValueError(
                f"journal_bytes is {self.journal_bytes}, expected at least two files of {self.journal_file_bytes}"
            )
        if not 0 < self.max_payload_bytes <= self.intake_bytes:
            raise ValueError(f"max_payload_bytes is {self.max_payload_bytes}, expected 1 to intake_bytes")
        if not 0 < self.max_series <= _MOST_SERIES:
            raise ValueError(f"max_series is {self.max_series}, expected 1 to {_MOST_SERIES}")
        if self.max_devices < 1:
            raise ValueError(f"max_devices is {self.max_devices}, expected at least 1")


def check_width(field: str, width_s: float) -> None:
    """Raises ValueError unless a window of so many seconds is whole milliseconds and at most a day."""
    if not 0 < width_s <= _MOST_WIDTH_S or not (width_s * 1000).is_integer():
        raise ValueError(f"{field} is {width_s}, expected whole milliseconds, more than 0 and at most {_MOST_WIDTH_S}")


def milliseconds(seconds: float) -> int:
    """Seconds of a setting as whole milliseconds."""
    return round(seconds * 1000)
