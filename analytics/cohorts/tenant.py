"""One tenant's cohorts over sites: what sites said waits for its slot to be over, is put together, and decided on in event time."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.calibrate import probability_per_test
from analytics.cohorts.alarms import ON, PATIENCE_SLOTS, Slot, decide
from analytics.cohorts.charts import Charts
from analytics.cohorts.members import Row, by_cohort, family_of
from analytics.cohorts.telling import Shift, Told, shift_event
from analytics.cohorts.waiting import Waiting
from analytics.detect.round import Change
from analytics.detectors.cohort_shift import HOURS, LEAST_SLOTS, SLOT_WINDOWS, Sites, rarity, threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from analytics.cohorts.alarms import Decided
    from analytics.cohorts.members import Cohort
    from analytics.cohorts.waiting import Source
    from analytics.detect.config import DetectConfig
    from ingest.contract.events import AnomalyEvent, CohortEvent, CohortPart

    Ints = NDArray[np.int64]

MOST_PARTS = 500_000
"""So much waits at the most; further parts are passed over."""
MOST_WIDTHS = 16
_HOUR_MS = 3_600_000


class Cohorts:
    """`counts` says what became of the summaries."""

    def __init__(self, tenant: str, config: DetectConfig) -> None:
        self._tenant, self._config = tenant, config
        self._learn_ms = round(config.cohort_learn_s * 1000)
        self._rebaseline_ms = round(config.rebaseline_s * 1000)
        self.charts = Charts(config.max_cohorts)
        self._waiting: dict[int, Waiting] = {}
        self.counts: Counter[str] = Counter()

    def take(self, event: CohortEvent, logged: int) -> list[AnomalyEvent]:
        """What a site said, taken by the log at `logged` (ms), and what it leads to."""
        if not self._has_room(event):
            self.counts["full"] += 1
            return []
        waiting = self._waiting.setdefault(event.width, Waiting(event.width))
        self.counts["taken" if waiting.take(event) else "late"] += 1
        return [told for at, said in waiting.due(logged) for told in self._slot(at, event.width, said)]

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        return msgspec.msgpack.encode((self.charts.dump(), list(self._waiting.values())))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before anything else."""
        charts, waiting = msgspec.msgpack.decode(dumped, type=tuple[bytes, list[Waiting]])
        self.charts.load(charts)
        self._waiting = {one.width: one for one in waiting}

    def _has_room(self, event: CohortEvent) -> bool:
        if event.width not in self._waiting and len(self._waiting) >= MOST_WIDTHS:
            before = event.at - self._learn_ms
            self._waiting = {width: one for width, one in self._waiting.items() if max(one.newest.values()) >= before}
        waits = sum(one.parts for one in self._waiting.values())
        is_known = event.width in self._waiting or len(self._waiting) < MOST_WIDTHS
        return is_known and waits + len(event.parts) <= MOST_PARTS

    def _slot(self, at: int, width: int, said: Mapping[Source, Sequence[CohortPart]]) -> Iterator[AnomalyEvent]:
        rows = by_cohort(said, width, self._config.cohort_sites)
        asked = probability_per_test(self._config.false_alerts_per_1k_series_day, width * SLOT_WINDOWS)
        told = Told(self._tenant, at, asked, self._config.false_alerts_per_1k_series_day)
        yield from self._forget(told)
        numbers = self.charts.numbers(rows, at, self._learn_ms)
        self.counts["no_room"] += int(np.count_nonzero(numbers < 0))
        names = [cohort for cohort, number in zip(rows, numbers.tolist(), strict=True) if number >= 0]
        if names:
            yield from self._decide(told, names, numbers[numbers >= 0], _sites([rows[name] for name in names]))

    def _decide(self, told: Told, names: Sequence[Cohort], numbers: Ints, sites: Sites) -> Iterator[AnomalyEvent]:
        chart, alarm = self.charts.of(numbers)
        slot = Slot(
            at=told.at,
            hour=told.at // _HOUR_MS % HOURS,
            enter=threshold(told.asked),
            speak=(chart.seen >= LEAST_SLOTS) & (told.at - self.charts.begun[numbers] >= self._learn_ms),
            patience_ms=max(self._rebaseline_ms, PATIENCE_SLOTS * SLOT_WINDOWS * names[0].width),
        )
        found = decide(chart, alarm, sites, slot)
        self.charts.put(numbers, found.chart, found.alarm, told.at)
        self.charts.begun[numbers[found.chart.seen == 0]] = told.at  # they are learned anew
        # Of a family its firmwares tell, where there are any that are looked at.
        parted = {family_of(name) for name, speaks in zip(names, slot.speak, strict=True) if speaks and not name.family}
        for place, (name, number) in enumerate(zip(names, numbers.tolist(), strict=True)):
            change = self._change(number, found, place, is_told=name not in parted)
            if change is not Change.NOTHING:
                yield shift_event(told, name, change, _shift(found, place, slot.enter, int(alarm.since[place])))

    def _change(self, number: int, found: Decided, place: int, *, is_told: bool) -> Change:
        """What is told of a cohort: of an alarm of which people were not told nothing is."""
        change, lasts = Change(int(found.change[place])), bool(found.alarm.state[place] == ON)
        is_told = is_told if change is Change.ENTERED else bool(self.charts.told[number])
        self.charts.told[number] = is_told and lasts
        if not is_told:
            return Change.NOTHING
        return Change.CONTINUES if change is Change.NOTHING and lasts else change

    def _forget(self, told: Told) -> Iterator[AnomalyEvent]:
        silent = self.charts.silent(told.at, self._learn_ms)
        for number in silent.tolist():
            if self.charts.told[number]:
                since = int(self.charts.alarm.since[number])
                yield shift_event(told, self.charts.names[number], Change.NOTHING, Shift(since))
        if silent.size:
            self.charts.forget(silent)


def _sites(rows: Sequence[Sequence[Row]]) -> Sites:
    cohort = np.repeat(np.arange(len(rows)), [len(of_one) for of_one in rows])
    return Sites(cohort, *np.array([row for of_one in rows for row in of_one], np.float64).T)


def _shift(found: Decided, place: int, enter: float, since: int) -> Shift:
    return Shift(
        since=since,
        shift=float(found.now.shift[place]),
        usual=float(found.usual[place]),
        unit=float(found.unit[place]),
        probability=math.exp(-rarity(float(found.share[place]) * enter)),
        sites=int(found.now.sites[place]),
        devices=int(found.now.devices[place]),
    )
