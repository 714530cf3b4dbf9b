"""Which series have finer or wider windows than configured, and when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.aspects import LINKED
from edge_aggregator.columns import Columns
from edge_aggregator.config import milliseconds
from edge_aggregator.resolution.past_widths import MOST
from edge_aggregator.resolution.scores import WARM_WINDOWS, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.names import Names
    from edge_aggregator.windows.rollups import Rollups

MOST_AT_ONCE = 5000
"""Series that become quiet in one flush; the others follow with the next."""


class Raised(NamedTuple):
    """Since when a device's windows are finer, and when its score was high last (ms of the gateway's clock)."""

    since: int
    high: int


class Resolution:
    """Stepped once a flush. `raised` are the devices with finer windows; a restart takes them over from the widths."""

    def __init__(self, config: EdgeConfig, names: Names) -> None:
        self._names = names
        self.configure(config)
        self.raised: dict[int, Raised] = {}
        self._resumed = False
        self._scores, self._quiet = Scores(), Columns({"windows": ("i4", 0)})

    def configure(self, config: EdgeConfig) -> None:
        """Other settings from now on."""
        self._config, self._fine = config.adaptive, milliseconds(config.adaptive.width_s)
        self.wanted = bool(self._fine) or any(metric.quiet_s for metric in config.metrics)

    def kept(self) -> NDArray[np.bool_]:
        """Series whose width is none of the configuration's and stays nevertheless, shape (series,)."""
        columns, configured = self._names.columns, self._names.columns["configured"]
        fine = (columns["next_width"] == self._fine) & (self._fine < configured)
        quiet = (columns["quiet"] > configured) & (columns["next_width"] == columns["quiet"])
        stays: NDArray[np.bool_] = fine | quiet
        return stays

    def _resume(self, now: int) -> None:
        # After a start: who has finer windows is raised until it has been calm for long enough.
        self._resumed = True
        columns = self._names.columns
        fine = (columns["next_width"] == self._fine) & (self._fine < self._names.columns["configured"])
        for device in np.unique(columns["device"][fine]).tolist():
            self.raised[device] = Raised(now, now)

    def step(self, rollups: Rollups, newest: NDArray[np.int64], now: int) -> list[int]:
        """Take what was emitted; the series whose windows change, from where they can. `newest` as in `Names.switch`."""
        if not self.wanted:
            return []
        if not self._resumed:
            self._resume(now)
        rows = rollups.rows(rollups.revision == 0)
        score = self._score(rows)
        changed = self._raise(rows, score, newest, now) + self._calm(newest, now)
        return changed + self._widen(rows, score, newest)

    def _score(self, rows: Rollups) -> NDArray[np.float64]:
        columns = self._names.columns
        device, configured = columns["device"][rows.series], self._names.columns["configured"][rows.series]
        # Counters always move, and states are no amounts.
        judged = ~columns["uptime"][rows.series] & ~columns["overflow"][rows.series]
        judged &= (columns["aspect"][rows.series] & LINKED) == 0
        calm = ~np.isin(device, list(self.raised)) if self.raised else np.ones(len(device), np.bool_)
        return np.where(judged, self._scores.step(rows, judged & calm & (rows.width >= configured)), 0.0)

    def _raise(self, rows: Rollups, score: NDArray[np.float64], newest: NDArray[np.int64], now: int) -> list[int]:
        if not self._fine or not len(score):
            return []
        device = self._names.columns["device"][rows.series].astype(np.int64)
        high = np.zeros(len(self._names.devices))
        np.maximum.at(high, device, score)
        for known in [d for d in self.raised if high[d] >= self._config.leave]:
            self.raised[known] = self.raised[known]._replace(high=now)
        order = np.argsort(-high, kind="stable")
        fresh = [d for d in order[high[order] >= self._config.enter].tolist() if d not in self.raised]
        room = min(self._config.most_devices - len(self.raised), len(fresh)) if self._has_room() else 0
        self.raised.update(dict.fromkeys(fresh[:room], Raised(now, now)))
        return self._switch(self._of(fresh[:room]), fine=True, newest=newest)

    def _calm(self, newest: NDArray[np.int64], now: int) -> list[int]:
        dwell, longest = milliseconds(self._config.dwell_s), milliseconds(self._config.longest_s)
        tired = [device for device, raised in self.raised.items() if not 0 <= now - raised.since < longest]
        calm = [device for device, raised in self.raised.items() if now - raised.high >= dwell]
        if tired:
            self._scores.forget(self._of(tired))
        over = sorted({*tired, *calm})
        for device in over:
            del self.raised[device]
        return self._switch(self._of(over), fine=False, newest=newest)

    def _widen(self, rows: Rollups, score: NDArray[np.float64], newest: NDArray[np.int64]) -> list[int]:
        columns, config = self._names.columns, self._config
        if not columns["quiet"].any():
            return []
        self._quiet.grow_to(len(columns["quiet"]))
        windows, series = self._quiet["windows"], rows.series
        inside = score <= config.band
        windows[series[inside]] += 1
        windows[series[~inside]] = 0
        configured, width = self._names.columns["configured"], columns["next_width"]
        may = (columns["quiet"] > configured) & ~np.isin(columns["device"], list(self.raised))
        narrow = np.flatnonzero(may & (width == columns["quiet"]) & (windows == 0))
        wide = np.flatnonzero(may & (width == configured) & (windows >= config.quiet_windows + WARM_WINDOWS))
        wide = wide[:MOST_AT_ONCE] if self._has_room() else wide[:0]
        changed = np.concatenate([narrow, wide])
        self._names.widths.switch(
            changed,
            np.where(width[changed] == configured[changed], columns["quiet"][changed], configured[changed]),
            newest,
        )
        return [int(number) for number in changed]

    def _of(self, devices: list[int]) -> NDArray[np.int64]:
        columns = self._names.columns
        mine = (
            np.isin(columns["device"], devices)
            & ~columns["overflow"]
            & (self._names.columns["configured"] > self._fine)
        )
        return np.array([series for series in np.flatnonzero(mine).tolist() if self._names.row(series)], np.int64)

    def _switch(self, series: NDArray[np.int64], *, fine: bool, newest: NDArray[np.int64]) -> list[int]:
        configured = self._names.columns["configured"][series]
        self._names.widths.switch(series, np.full_like(configured, self._fine) if fine else configured, newest)
        if len(self._quiet):
            self._quiet["windows"][series[series < len(self._quiet)]] = 0
        return [int(number) for number in series]

    def _has_room(self) -> bool:
        return len(self._names.widths.past) < MOST
