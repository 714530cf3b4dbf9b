"""How often alarms begin, beside how often they may where nothing is wrong: both are shown, so that a promise can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.contract.names import ANALYTICS_ASKED, ANALYTICS_OBSERVED, ANALYTICS_SERIES_SECONDS

if TYPE_CHECKING:
    from ingest.contract.batch import RollupBatch
    from ingest.runtime.telemetry import Telemetry

_DAY_MS = 86_400_000


class Observed:
    """Of one process, since it began. `asked` is alarms per 1,000 series and day."""

    def __init__(self, asked: float, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._series_days, self._begun = 0.0, 0
        telemetry.gauge(ANALYTICS_ASKED, asked)

    def saw(self, batch: RollupBatch, judged: int, begun: int) -> None:
        """Of a batch so many rows were `judged`, and so many alarms have `begun`."""
        if judged:
            days = float(batch.column("width").mean()) * judged / _DAY_MS
            self._series_days += days
            self._telemetry.count(ANALYTICS_SERIES_SECONDS, 86_400 * days)
        self._begun += begun
        if self._series_days:
            self._telemetry.gauge(ANALYTICS_OBSERVED, 1000 * self._begun / self._series_days)
