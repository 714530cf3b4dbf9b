"""What is found of faults in a fleet, and how soon: the engine that serves production against a textbook's charts.

A day to learn, days without faults in which every chart gets the limit at which it raises as many false alerts as the
engine has raised there (or the rate asked for, where that is more), then a day in which faults begin. Each chart gets two
kinds of limit: one for the whole fleet, and one for every kind of series by itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from analytics.detect.round import Change
from compose.bench.detect.fleet import DAY, KINDS, STEPS, Window, sites_of
from compose.bench.detect.fleet_batches import T0, WIDTH, Gateway
from compose.bench.detect.fleet_faults import FAULTS, NAMES, Faults
from compose.bench.detect.textbook import PICKS
from compose.bench.detect.textbook_limits import CALM, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from analytics.detect.engine import Decision

    Ints = NDArray[np.int64]
    Told = Callable[[int], None]

ASKED = DetectConfig().false_alerts_per_1k_series_day
NOT_FOUND = -1


class FoundPlan(NamedTuple):
    """So many series; windows to learn, without faults, with faults; faults of each kind of series, fault and size."""

    series: int = 20_000
    learn: int = DAY
    quiet: int = DAY
    faulty: int = DAY
    each: int = 10
    seed: int = 2

    @property
    def windows(self) -> int:
        """In all."""
        return self.learn + self.quiet + self.faulty


class Fleet:
    """All sites side by side, and the engine that takes their batches."""

    def __init__(self, plan: FoundPlan) -> None:
        self.sites = sites_of(plan.series, plan.seed)
        self._gateways = [Gateway(site, number) for number, site in enumerate(self.sites)]
        self._first = np.cumsum([0, *(site.devices for site in self.sites)])
        self._engine = Engine(DetectConfig())
        self.scale = np.concatenate([site.scale for site in self.sites], axis=1)

    def next(self) -> Window:
        """The window of all sites, shape (kinds, devices)."""
        windows = [site.next() for site in self.sites]
        return Window(
            np.concatenate([window.values for window in windows], axis=1),
            np.concatenate([window.present for window in windows], axis=1),
            np.concatenate([window.resets for window in windows]),
        )

    def step(self, window: Window, number: int) -> list[Decision]:
        """What the engine says of it."""
        decisions = []
        for gateway, first, last in zip(self._gateways, self._first, self._first[1:], strict=False):
            part = Window(window.values[:, first:last], window.present[:, first:last], window.resets[first:last])
            decisions += self._engine.step(gateway.batch(part, number))
        return decisions

    def series_of(self, decision: Decision) -> tuple[int, int]:
        """Kind and device of the series it is about."""
        _, site, device = decision.device.device.split("-")
        return KINDS.index(decision.metric.name), int(self._first[int(site)]) + int(device)


class Heard(NamedTuple):
    """Windows from each fault's onset to its alarm (1: at once), `NOT_FOUND` without one; false alerts by kind."""

    found: Ints
    raised: Ints


def hear_engine(plan: FoundPlan, told: Told) -> Heard:
    """What the engine says of the whole story."""
    fleet, faults = _story(plan)
    place = {pair: number for number, pair in enumerate(zip(faults.kind.tolist(), faults.device.tolist(), strict=True))}
    found, raised = np.full(len(faults), NOT_FOUND), np.zeros(len(KINDS), np.int64)
    for number in range(plan.windows):
        window = fleet.next()
        faults.put(window, number)
        for decision in fleet.step(window, number):
            if decision.change != Change.ENTERED:
                continue
            series, at = fleet.series_of(decision), (decision.at - T0) // WIDTH - 1
            raised[series[0]] += plan.learn <= at < plan.learn + plan.quiet
            fault = place.get(series, NOT_FOUND)
            if fault != NOT_FOUND and fault in faults.looked_for(at) and found[fault] == NOT_FOUND:
                found[fault] = at - faults.onset[fault] + 1
        told(1)
    return Heard(found, raised)


class Watch:
    """Whom a chart's scores alarm about, with one limit a kind; `found` as in `Heard`."""

    def __init__(self, faults: Faults, limit: NDArray[np.float64]) -> None:
        self._faults, self._limit = faults, limit[faults.kind]
        self._loud = np.full(len(faults), NOT_FOUND - CALM - 1)
        self.found = np.full(len(faults), NOT_FOUND)

    def see(self, scores: NDArray[np.float32], number: int) -> None:
        """One window's scores, shape (kinds, devices)."""
        faults = self._faults
        loud = scores[faults.kind, faults.device] > self._limit
        counted = np.zeros(len(faults), np.bool_)
        counted[faults.looked_for(number)] = True
        # Who was in alarm already says nothing new.
        fresh = loud & counted & (self.found == NOT_FOUND) & (number - self._loud > CALM)
        self.found[fresh] = number - faults.onset[fresh] + 1
        self._loud[loud] = number


def hear_charts(plan: FoundPlan, raised: Ints, told: Told) -> dict[str, tuple[Ints, Ints]]:
    """What each chart finds of the same story: with one limit for the fleet, and with one for each kind."""
    fleet, faults = _story(plan)
    allowed = _allowed(plan, fleet, raised)
    picks = {name: make(_least(fleet), plan.learn) for name, make in PICKS.items()}
    limits = {name: Limits(*allowed) for name in PICKS}
    watches: dict[str, tuple[Watch, Watch]] = {}
    for number in range(plan.windows):
        window = fleet.next()
        faults.put(window, number)
        if number == plan.learn + plan.quiet:
            for name, limit in limits.items():
                watches[name] = Watch(faults, np.full(len(KINDS), limit.of_all())), Watch(faults, limit.by_kind())
        for name, pick in picks.items():
            scores = pick.step(window.values, window.present)
            if plan.learn <= number < plan.learn + plan.quiet:
                limits[name].add(scores)
            for watch in watches.get(name, ()):
                watch.see(scores, number)
        told(1)
    return {name: (fleet_wide.found, by_kind.found) for name, (fleet_wide, by_kind) in watches.items()}


def run_found(plan: FoundPlan, told: Told = lambda _: None) -> dict[str, Any]:
    """The whole comparison; `told` is told of windows done, of twice `windows`."""
    heard = hear_engine(plan, told)
    charts = hear_charts(plan, heard.raised, told)
    _, faults = _story(plan)
    rows = {
        fault: {
            str(size): _row(heard.found, charts, (faults.fault == f) & (faults.size == s))
            for s, size in enumerate(FAULTS[fault].sizes)
        }
        for f, fault in enumerate(NAMES)
    }
    lost = [f"{fault} {size}" for fault, sizes in rows.items() for size, row in sizes.items() if not row["ahead"]]
    return {
        "faults": rows,
        "faults_lost": lost,
        "faults_lost_to_limits_by_kind": [
            f"{fault} {size}"
            for fault, sizes in rows.items()
            for size, row in sizes.items()
            if not row["ahead_by_kind"]
        ],
        "faults_found_by_kind": _by_kind(heard.found, faults),
        "faults_false_alerts": int(heard.raised.sum()),
    }


def _row(ours: Ints, charts: dict[str, tuple[Ints, Ints]], which: NDArray[np.bool_]) -> dict[str, Any]:
    mine = _figures(ours[which])
    row: dict[str, Any] = {"found": mine[0], "delay": mine[1]}
    for limits, label in enumerate(("", "_by_kind")):
        against = {name: _figures(found[limits][which]) for name, found in charts.items()}
        best = max(against, key=lambda name: _merit(against[name]))
        row["textbook" + label] = {"pick": best, "found": against[best][0], "delay": against[best][1]}
        row["ahead" + label] = _merit(mine) > _merit(against[best])
    return row


def _figures(found: Ints) -> tuple[float, float | None]:
    hits = found[found != NOT_FOUND]
    return round(len(hits) / max(len(found), 1), 4), float(np.median(hits)) if len(hits) else None


def _merit(figures: tuple[float, float | None]) -> tuple[float, float]:
    # More is better; of equally many, sooner.
    share, delay = figures
    return share, -(np.inf if delay is None else delay)


def _by_kind(found: Ints, faults: Faults) -> dict[str, dict[str, float]]:
    return {
        fault: {
            name: _figures(found[(faults.fault == f) & (faults.kind == kind)])[0]
            for kind, name in enumerate(KINDS)
            if ((faults.fault == f) & (faults.kind == kind)).any()
        }
        for f, fault in enumerate(NAMES)
    }


def _story(plan: FoundPlan) -> tuple[Fleet, Faults]:
    fleet = Fleet(plan)
    return fleet, Faults(fleet.scale, plan.each, plan.learn + plan.quiet, plan.windows, plan.seed)


def _allowed(plan: FoundPlan, fleet: Fleet, raised: Ints) -> tuple[Ints, int]:
    asked = ASKED * fleet.scale.shape[1] / 1000 * plan.quiet / DAY
    by_kind = np.maximum(raised, math.ceil(asked))
    return by_kind, max(int(raised.sum()), math.ceil(asked * len(KINDS)))


def _least(fleet: Fleet) -> NDArray[np.float64]:
    least = 1e-4 * np.concatenate([site.level for site in fleet.sites], axis=1)
    least[STEPS] = 1.0
    return least
