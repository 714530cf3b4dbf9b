"""What is asked of a metric beyond its plain statistics, by the patterns of the configuration."""

from __future__ import annotations

import fnmatch
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.config import milliseconds

if TYPE_CHECKING:
    from edge_aggregator.config import EdgeConfig

UPTIME_METRIC = "uptime_s"
"""Seconds since boot: when it falls, the device has rebooted."""

COUNTER_SUFFIX = "_total"
"""What OpenMetrics lets counters end with: such metrics are counters unless the configuration says otherwise."""

REACH_MS = 300_000
"""How far before a window the sample is looked for that growth and changes are counted from."""


class Aspect(IntFlag):
    """Details that windows of a metric have."""

    QUANTILES = 1
    COUNTER = 2
    STATE = 4


LINKED = int(Aspect.COUNTER | Aspect.STATE)
"""What also depends on the sample before the window."""


class Wish(NamedTuple):
    """What one section of the configuration asks for; an empty kind is found by the metric's name."""

    kind: str = ""
    quantiles: bool = False
    early_ms: int = 0
    quiet_ms: int = 0


class Aspects:
    """Wishes by metric name: the first pattern that matches counts."""

    def __init__(self, patterns: tuple[tuple[str, Wish], ...] = (), *, reach_ms: int = REACH_MS) -> None:
        self._patterns, self.reach_ms = patterns, reach_ms

    @classmethod
    def from_config(cls, config: EdgeConfig) -> Aspects:
        """As the configuration says."""
        metrics = config.metrics
        wishes = [Wish(m.kind, m.quantiles, milliseconds(m.early_s), milliseconds(m.quiet_s)) for m in metrics]
        return cls(tuple(zip([metric.metric for metric in metrics], wishes, strict=True)))

    def kind(self, metric: str) -> str:
        """`gauge`, `counter` or `state`."""
        # A fall of the uptime is a reboot, which is told as one; nobody should take it for an anomaly as well.
        counts = metric == UPTIME_METRIC or metric.endswith(COUNTER_SUFFIX)
        return self._wish(metric).kind or ("counter" if counts else "gauge")

    def of(self, metric: str) -> Aspect:
        """The details that windows of a metric have."""
        kind = self.kind(metric)
        found = Aspect.QUANTILES if self._wish(metric).quantiles else Aspect(0)
        if kind == "counter" and metric != UPTIME_METRIC:
            found |= Aspect.COUNTER
        return found | Aspect.STATE if kind == "state" else found

    def early(self, metric: str) -> int:
        """How often (ms) windows of a metric are shown before they end; 0 for never."""
        return self._wish(metric).early_ms

    def quiet(self, metric: str) -> int:
        """The width (ms) of a metric's windows while a series is quiet; 0 for the configured one."""
        return self._wish(metric).quiet_ms

    def _wish(self, metric: str) -> Wish:
        return next((wish for pattern, wish in self._patterns if fnmatch.fnmatchcase(metric, pattern)), Wish())
