"""The charts and alarms of a tenant's cohorts: columns that grow, of which some are stepped at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from analytics.cohorts.alarms import Alarm, no_alarms
from analytics.cohorts.members import Cohort, family_of
from analytics.detectors.cohort_shift import LEAST_SLOTS, SLOT_WINDOWS, Chart, fresh

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Column = NDArray[Any]
    Ints = NDArray[np.int64]

INHERITED = frozenset({"usual", "slots", "variance", "echo", "between", "within", "peak", "seen"})
"""What a cohort of a firmware that is new knows from its family: its devices are not new, and what is usual for them is known."""


class Charts:
    """At most `most` cohorts. `begun` and `heard` (ms): when each was heard of first and last; `told`: people know of its alarm."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.names: list[Cohort] = []
        self._numbers: dict[Cohort, int] = {}
        self.chart, self.alarm = fresh(0), no_alarms(0)
        self.begun, self.heard = np.zeros((2, 0), np.int64)
        self.told = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return len(self.names)

    def numbers(self, cohorts: Iterable[Cohort], at: int, learn_ms: int) -> Ints:
        """Of each cohort its number, -1 where there is no room; new ones are heard of at `at` (ms)."""
        wanted = list(cohorts)
        new = [cohort for cohort in wanted if cohort not in self._numbers][: self._most - len(self)]
        families = [self._numbers.get(family_of(cohort), -1) for cohort in new]
        self._add(new, at)
        for cohort, family in zip(new, families, strict=True):
            if family >= 0 and at - self.begun[family] >= learn_ms:
                self._inherit(self._numbers[cohort], family)
        return np.array([self._numbers.get(cohort, -1) for cohort in wanted], np.int64)

    def of(self, numbers: Ints) -> tuple[Chart, Alarm]:
        """Copies of the columns of these cohorts."""
        chart = Chart._make(column[..., numbers] for column in self.chart)
        return chart, Alarm._make(column[numbers] for column in self.alarm)

    def put(self, numbers: Ints, chart: Chart, alarm: Alarm, at: int) -> None:
        """These are so after a slot."""
        for mine, theirs in zip(self._columns(), (*chart, *alarm), strict=False):
            mine[..., numbers] = theirs
        self.heard[numbers] = at

    def silent(self, at: int, least_ms: int) -> Ints:
        """Those not heard of for `least_ms`, nor for as many slots as it takes to know them, by number."""
        widths = np.array([name.width for name in self.names], np.int64)
        return np.flatnonzero(at - self.heard > np.maximum(least_ms, LEAST_SLOTS * SLOT_WINDOWS * widths))

    def forget(self, numbers: Ints) -> None:
        """Nothing is known of these any more; the others' numbers change."""
        stays = np.ones(len(self), np.bool_)
        stays[numbers] = False
        self.names = [name for name, kept in zip(self.names, stays, strict=True) if kept]
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self.chart = Chart._make(column[..., stays] for column in self.chart)
        self.alarm = Alarm._make(column[stays] for column in self.alarm)
        self.begun, self.heard, self.told = self.begun[stays], self.heard[stays], self.told[stays]

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        return msgspec.msgpack.encode((self.names, [column.tobytes() for column in self._columns()]))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before anything else."""
        names, columns = msgspec.msgpack.decode(dumped, type=tuple[list[Cohort], list[bytes]])
        self._add(names, 0)
        for column, stored in zip(self._columns(), columns, strict=True):
            column[...] = np.frombuffer(stored, column.dtype).reshape(column.shape)

    def _columns(self) -> list[Column]:
        return [*self.chart, *self.alarm, self.begun, self.heard, self.told]

    def _add(self, names: list[Cohort], at: int) -> None:
        for name in names:
            self._numbers[name] = len(self._numbers)
        self.names += names
        chart, alarm = fresh(len(names)), no_alarms(len(names))
        self.chart = Chart._make(_joined(self.chart, chart))
        self.alarm = Alarm._make(_joined(self.alarm, alarm))
        now = np.full(len(names), at)
        self.alarm.since[len(self.alarm.since) - len(names) :] = at
        self.begun, self.heard = np.append(self.begun, now), np.append(self.heard, now)
        self.told = np.append(self.told, np.zeros(len(names), np.bool_))

    def _inherit(self, child: int, family: int) -> None:
        for name, column in zip(Chart._fields, self.chart, strict=True):
            if name in INHERITED:
                column[..., child] = column[..., family]
        self.begun[child] = self.begun[family]


def _joined(mine: Sequence[Column], new: Sequence[Column]) -> list[Column]:
    return [np.concatenate(both, axis=-1) for both in zip(mine, new, strict=True)]
