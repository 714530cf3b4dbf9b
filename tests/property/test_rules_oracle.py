"""Rules over many series at once say what a loop over single series says; a restart at any moment changes nothing."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from analytics.rules.kinds import Absence, Rate, Rule, Scope, SeriesRule, Threshold
from analytics.rules.life import REMIND_MS, Said
from analytics.rules.matching import is_about, is_metric
from analytics.rules.partition import SWEEP_MS, Partition
from ingest.contract.batch import DeviceRow, RollupBatch
from tests.examples import examples
from tests.rollup_batches import ORIGIN, T0, Row, make_batch

FORGET_MS = 400_000
HARDWARE = ("rev-a", "rev-b")

RULES: list[SeriesRule] = [
    Threshold(name="hot", metric="temperature", above=2.0, leave=1.0),
    Threshold(name="hot-for", metric="temp*", above=2.0, hold="20s", keep="30s", statistic="max"),
    Threshold(name="cold", metric="temperature", below=0.5, keep="10s", where=Scope(hardware="rev-b")),
    Threshold(name="any", metric="*", above=2.5, hold="10s", statistic="last", where=Scope(labels={"core": "0"})),
    Rate(name="rises", metric="memory", above=0.05, leave=0.0, hold="10s"),
    Rate(name="falls", metric="memory", below=-0.1),
    Absence(name="gone", metric="memory", hold="40s"),
    Absence(name="gone-b", metric="*", hold="70s", keep="20s", where=Scope(hardware="rev-b", site="plant-7")),
]


class Told(NamedTuple):
    rule: str
    device: str
    metric: str
    said: Said
    at: int
    number: int


class Series:
    """What the loop knows of one series."""

    def __init__(self) -> None:
        self.end, self.previous = 0, dict[str, float]()
        self.stage: dict[str, str] = defaultdict(lambda: "idle")
        self.since: dict[str, int] = defaultdict(int)
        self.unknown: set[str] = set()
        self.watched: set[str] = set()


class Naive:
    """One window, one series, one rule after another."""

    def __init__(self, rules: list[SeriesRule]) -> None:
        self.rules, self.known = rules, defaultdict[tuple[str, str], Series](Series)
        self.mark = self.swept = self.number = 0

    def take(self, batch: RollupBatch) -> list[Told]:
        ends = batch.column("start") + batch.column("width")
        fresh = batch.column("revision") == 0
        self.mark = max(self.mark, int(ends[fresh].max(initial=0)))
        turns: dict[int, list[tuple[int, int]]] = defaultdict(list)
        seen: dict[tuple[str, str], set[int]] = defaultdict(set)
        for row in sorted(np.flatnonzero(fresh).tolist(), key=lambda row: ends[row]):
            name, end = self._name(batch, row), int(ends[row])
            if end > self.known[name].end and end not in seen[name]:
                turns[len(seen[name])].append((row, end))
                seen[name].add(end)
        told = [one for turn in sorted(turns) for one in self._turn(batch, turns[turn])]
        if self.mark - self.swept >= SWEEP_MS:
            self.swept = self.mark
            told += self._sweep()
        return told

    def _name(self, batch: RollupBatch, row: int) -> tuple[str, str]:
        return batch.devices[batch.column("device")[row]].device, batch.metrics[batch.column("metric")[row]].name

    def _turn(self, batch: RollupBatch, rows: list[tuple[int, int]]) -> list[Told]:
        self.number = max(self.number + 1, self.mark * 1000)
        told = []
        for row, end in rows:
            name, columns = self._name(batch, row), {c: batch.column(c)[row] for c in ("sum", "count", "max", "last")}
            values = {"mean": columns["sum"] / columns["count"], "max": columns["max"], "last": columns["last"]}
            device, metric = batch.devices[batch.column("device")[row]], batch.metrics[batch.column("metric")[row]]
            series = self.known[name]
            for rule in self.rules:
                about = is_about(rule.where, ORIGIN.site, device) and is_metric(rule, metric.name, dict(metric.labels))
                judged = self._condition(rule, series, values, end)
                if judged is None:
                    continue
                enter, leave = judged
                if isinstance(rule, Absence):
                    series.watched = series.watched | {rule.name} if about else series.watched - {rule.name}
                said = self._live(rule, series, end, enter=enter and about, leave=leave, about=about)
                if said:
                    told.append(Told(rule.name, *name, said, end, self.number))
            series.end, series.previous = end, {"mean": float(values["mean"])}
        return told

    def _condition(self, rule: Rule, series: Series, values: dict[str, float], end: int) -> tuple[bool, bool] | None:
        if not isinstance(rule, Threshold):
            return False, True
        value = values[rule.statistic]
        if isinstance(rule, Rate):
            if not series.previous:
                return None
            value = (value - series.previous[rule.statistic]) / ((end - series.end) / 1000)
        if not math.isfinite(value):
            return None
        if rule.above is not None:
            return value > rule.above, value < rule.leave if rule.leave is not None else value <= rule.above
        assert rule.below is not None
        return value < rule.below, value > rule.leave if rule.leave is not None else value >= rule.below

    def _live(
        self, rule: SeriesRule, series: Series, now: int, *, enter: bool, leave: bool, about: bool
    ) -> Said | None:
        name, stage = rule.name, series.stage[rule.name]
        hold = 0 if isinstance(rule, Absence) else rule.hold_ms
        unknown = name in series.unknown
        series.unknown.discard(name)
        holds = about and (enter or (stage in {"pending", "firing"} and not leave))
        if not about:
            series.stage[name] = "idle"
            return Said.WITHDRAWN if stage in {"firing", "quiet"} else None
        if holds and stage in {"idle", "pending"}:
            since = now if stage == "idle" else series.since[name]
            fires = now - since >= hold
            series.stage[name], series.since[name] = ("firing", now) if fires else ("pending", since)
            return Said.HOLDS if fires else None
        if holds and stage == "quiet":
            series.stage[name], series.since[name] = "firing", now
            return Said.HOLDS if unknown else None
        if holds:
            remind = unknown or now - series.since[name] >= REMIND_MS
            series.since[name] = now if remind else series.since[name]
            return Said.HOLDS if remind else None
        if stage == "pending":
            series.stage[name] = "idle"
        if stage in {"firing", "quiet"}:
            if stage == "firing" or unknown:
                series.stage[name], series.since[name] = "quiet", now
            elif now - series.since[name] < rule.keep_ms:
                return None
            if now - series.since[name] >= rule.keep_ms:
                series.stage[name] = "idle"
                return Said.OVER
        return None

    def _sweep(self) -> list[Told]:
        self.number = max(self.number + 1, self.mark * 1000)
        told = []
        for name, series in self.known.items():
            silent = self.mark - series.end
            for rule in self.rules:
                said = None
                if isinstance(rule, Absence):
                    about = rule.name in series.watched
                    said = self._live(
                        rule, series, self.mark, enter=silent >= rule.hold_ms and about, leave=False, about=about
                    )
                elif silent >= rule.stale_ms and series.stage[rule.name] in {"firing", "quiet"}:
                    said = None if rule.name in series.unknown else Said.UNKNOWN
                    series.unknown.add(rule.name)
                if said:
                    told.append(Told(rule.name, *name, said, self.mark, self.number))
                if silent >= FORGET_MS and series.end and isinstance(rule, Absence):
                    if series.stage[rule.name] in {"firing", "quiet"}:
                        told.append(Told(rule.name, *name, Said.WITHDRAWN, self.mark, self.number))
                    series.stage[rule.name] = "idle"
                    series.unknown.discard(rule.name)
                    series.watched.discard(rule.name)
        return told


def told_by(partition: Partition, batch: RollupBatch) -> list[Told]:
    found = []
    for finding in partition.take(batch):
        device, metric = partition.series.name(finding.series)
        found.append(Told(finding.rule.name, device.device, metric.name, finding.said, finding.at, finding.number))
    return found


class Story:
    """Devices that warm up and cool down, fall silent, change their hardware and send again what they sent."""

    def __init__(self, seed: int) -> None:
        self.chance, self.now = random.Random(seed), T0
        self._levels = defaultdict[tuple[str, str], float](lambda: 1.5)
        self._hardware = {f"d{n}": HARDWARE[n % 2] for n in range(5)}
        self._asleep: dict[str, int] = {}

    def next(self) -> RollupBatch:
        rows = []
        for _ in range(self.chance.choice([1, 1, 1, 3])):
            self.now += 10_000
            rows += [row for device in self._hardware for row in self._rows(device)]
        if self.chance.random() < 0.1:
            device = self.chance.choice(list(self._hardware))
            self._hardware[device] = self.chance.choice(HARDWARE)
        if self.chance.random() < 0.1:
            self._asleep[self.chance.choice(list(self._hardware))] = self.now + self.chance.choice([60_000, 500_000])
        if self.chance.random() < 0.2:
            rows += [row._replace(values=(9.0,), revision=1) for row in rows[:2]]
        if self.chance.random() < 0.1:
            rows += [row._replace(start=row.start - 50_000) for row in rows[:2]]
        self.chance.shuffle(rows)
        if not rows:
            return self.next()
        batch = make_batch(rows)
        devices = [DeviceRow(row.device, "2.2.0", self._hardware[row.device], "pumps") for row in batch.devices]
        return msgspec.structs.replace(batch, devices=devices)

    def _rows(self, device: str) -> list[Row]:
        if self._asleep.get(device, 0) > self.now:
            return []
        rows = []
        for metric in ("temperature", "memory"):
            level = self._levels[device, metric] + self.chance.gauss(0, 0.7)
            self._levels[device, metric] = level = min(max(level, 0.0), 3.0)
            values = (level, level + 0.2, level - 0.1) if self.chance.random() < 0.97 else (math.nan,)
            labels = (("core", "0"),) if metric == "memory" else ()
            if self.chance.random() < 0.95:
                rows.append(Row(device, metric, labels, self.now - 10_000, 10_000, values))
        return rows


@pytest.mark.parametrize("seed", range(examples(6)))
def test_many_series_at_once_are_judged_as_one_after_another(seed: int) -> None:
    story, naive = Story(seed), Naive(RULES)
    partition, cut = Partition(RULES, 1000, FORGET_MS), story.chance.randint(0, 150)
    said = set()
    for number in range(150):
        batch = story.next()
        expected = naive.take(batch)
        assert sorted(told_by(partition, batch)) == sorted(expected), number
        said |= {(told.rule, told.said) for told in expected}
        assert sum(partition.active().values()) == sum(
            stage != "idle" for series in naive.known.values() for stage in series.stage.values()
        )
        if number == cut:
            again = Partition(RULES, 1000, FORGET_MS)
            again.load(partition.series.names(), partition.series.marks(), partition.rule_state())
            partition = again
    assert {name for name, _ in said} == {rule.name for rule in RULES}
    assert {what for _, what in said} >= {Said.HOLDS, Said.OVER}
