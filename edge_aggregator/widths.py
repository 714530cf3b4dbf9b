"""Which window width a metric has."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from edge_aggregator.config import milliseconds

if TYPE_CHECKING:
    from edge_aggregator.config import EdgeConfig


class Widths:
    """Widths in ms by metric name: the first pattern that matches, else the default."""

    def __init__(self, default_ms: int, patterns: tuple[tuple[str, int], ...] = ()) -> None:
        self._default_ms, self._patterns = default_ms, patterns

    @classmethod
    def from_config(cls, config: EdgeConfig) -> Widths:
        """As the configuration says."""
        patterns = tuple((m.metric, milliseconds(m.width_s or config.window_s)) for m in config.metrics)
        return cls(milliseconds(config.window_s), patterns)

    def of(self, metric: str) -> int:
        """The width of one metric's windows in ms."""
        return next((ms for pattern, ms in self._patterns if fnmatch.fnmatchcase(metric, pattern)), self._default_ms)
