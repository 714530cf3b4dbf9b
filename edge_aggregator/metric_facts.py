"""What the configuration makes of a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.aspects import UPTIME_METRIC

if TYPE_CHECKING:
    from edge_aggregator.aspects import Aspects
    from edge_aggregator.widths import Widths

OVERFLOW_METRIC = "tidegate_overflow"
"""What exceeds a device's quota is rolled up under this name: every sample counts there, equal timestamps or not."""

_MOST_KNOWN = 4096


class Facts(NamedTuple):
    """Of one metric, as in the columns of `Names`."""

    uptime: bool
    overflow: bool
    aspect: int
    reach: int
    early: int
    configured: int
    quiet: int


class MetricFacts:
    """Facts by metric name; patterns are matched once for each."""

    def __init__(self, widths: Widths, aspects: Aspects) -> None:
        self._widths, self.aspects = widths, aspects
        self._known: dict[str, Facts] = {}

    def of(self, metric: str) -> Facts:
        """All of a metric."""
        known = self._known.get(metric)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[metric] = Facts(
                uptime=metric == UPTIME_METRIC,
                overflow=metric == OVERFLOW_METRIC,
                aspect=0 if metric == OVERFLOW_METRIC else self.aspects.of(metric),
                reach=max(self.aspects.reach_ms, 2 * self._widths.of(metric)),
                early=self.aspects.early(metric),
                configured=self._widths.of(metric),
                quiet=self.aspects.quiet(metric),
            )
        return known
