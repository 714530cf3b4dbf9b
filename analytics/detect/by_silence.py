"""The detector beside the round: which series have stopped while their device talks on?

A series that sends nothing is in no batch. So each batch also looks at a stretch of the table as long as itself, from where the
batch before has stopped: whoever is behind its device by some windows is a suspect, and is judged when its device is heard of
next. All that happens follows from the batches in their order.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.calibrate import bins_of
from analytics.columns import NONE
from analytics.detect.alarms import Alarm
from analytics.detect.merge import Detector
from analytics.detect.pools import SILENT
from analytics.detect.round import REBASELINE_WINDOWS, Change
from analytics.detectors.rows import where
from analytics.detectors.silence import FEWEST, WINDOWS, missed, surprise, unusual
from analytics.pair_index import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import State
    from analytics.detect.round import Memory
    from ingest.contract.batch import RollupBatch

    Ints = NDArray[np.int64]


class Absent(IntEnum):
    """What is known of a series that does not talk."""

    NO = 0
    MISSED = 1
    """There is an alarm about it."""
    GONE = 2
    """The alarm has lasted so long that the series is not expected any more."""


class Silent(NamedTuple):
    """A change of one series' silence: `at`, `since` in ms, `bin` of surprise."""

    series: int
    change: Change
    at: int
    since: int
    bin: int


class Seen(NamedTuple):
    """A batch's rows: their `series`, `end` in ms, and that of the window before, `last_end`; the numbers of its `devices`."""

    series: NDArray[np.int32]
    devices: Ints
    end: Ints
    last_end: Ints


class Silences:
    """When each device was heard of last, and the series that are behind their device."""

    def __init__(self) -> None:
        self._heard = np.zeros(0, np.int64)
        """Of each device's number: the end of its last window in ms."""
        self._next = 0
        self._suspects = np.zeros(0, np.int64)

    def returned(self, memory: Memory, batch: RollupBatch, seen: Seen) -> list[Silent]:
        """Before the batch is looked at: which series of its rows were missed, and are back?"""
        self._make_room(seen.devices)
        if not len(batch):
            return []
        table, start = memory.table, batch.column("start")
        some = where((start > seen.last_end) | (table["absent"].take(seen.series, mode="clip") != Absent.NO))
        if not some.size:
            return []
        until = np.minimum(self._heard.take(seen.devices[batch.column("device")[some]], mode="clip"), start[some])
        series, last_end, revision = seen.series[some], seen.last_end[some], batch.column("revision")[some]
        absent = table["absent"].take(series, mode="clip")
        behind = ((until > last_end) | (absent != Absent.NO)) & (series != MISSING) & (revision == 0)
        behind &= (last_end > 0) & (seen.end[some] > last_end)
        series, until, start = series[behind], until[behind], start[some][behind]
        order = np.argsort(start, kind="stable")
        back, first = np.unique(series[order], return_index=True)
        return _back(memory, back.astype(np.int64), until[order[first]]) if back.size else []

    def step(self, memory: Memory, batch: RollupBatch, seen: Seen, high: int) -> list[Silent]:
        """After the batch was looked at: who is missed of its devices? The table's series are numbered below `high`."""
        talking = self._hear(batch, seen, memory.rules.relearn_after_ms)
        self._sweep(memory.table, len(batch), high)
        if not self._suspects.size:
            return []
        mine = np.isin(memory.table["device"][self._suspects], talking)
        judged = self._suspects[mine]
        if not judged.size:
            return []
        heard = self._heard[memory.table["device"][judged]]
        said = _go_on(memory, judged, heard) + _begin(memory, judged, heard)
        missed_still = judged[memory.table["absent"][judged] == Absent.MISSED]
        self._suspects = np.union1d(self._suspects[~mine], missed_still)
        return said

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        return msgspec.msgpack.encode((self._heard.tobytes(), self._next, self._suspects.tobytes()))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump."""
        heard, self._next, suspects = msgspec.msgpack.decode(dumped, type=tuple[bytes, int, bytes])
        self._heard, self._suspects = (np.frombuffer(part, np.int64).copy() for part in (heard, suspects))

    def _make_room(self, devices: Ints) -> None:
        more = int(devices.max(initial=-1)) + 1 - len(self._heard)
        if more > 0:
            self._heard = np.append(self._heard, np.zeros(max(more, len(self._heard) // 8), np.int64))

    def _hear(self, batch: RollupBatch, seen: Seen, relearn_after_ms: int) -> Ints:
        # The numbers of the devices that have rows. A clock that was ahead for long and went back is believed.
        rows, end = batch.column("device"), seen.end
        if len(end) and end.min() == end.max():
            latest = np.where(np.bincount(rows, minlength=len(seen.devices)) > 0, end[0], 0)
        else:
            latest, order = np.zeros(len(seen.devices), np.int64), np.argsort(end, kind="stable")
            latest[rows[order]] = end[order]
        talking = where(latest)
        numbers, latest = seen.devices[talking], latest[talking]
        heard = self._heard[numbers]
        newer = (latest > heard) | (latest < heard - relearn_after_ms)
        self._heard[numbers] = np.where(newer, latest, heard)
        return numbers

    def _sweep(self, table: State, count: int, high: int) -> None:
        here = slice(min(self._next, high), min(self._next + count, high))
        heard = self._heard.take(table["device"][here], mode="clip")
        behind = heard - table["last_end"][here] > FEWEST * table["width"][here].astype(np.int64)
        found = where(behind) + here.start
        self._next = here.stop if here.stop < high else 0
        if found.size:
            expected = (table["last_end"][found] > 0) & (table["absent"][found] == Absent.NO)
            self._suspects = np.union1d(self._suspects, found[expected & (table["device"][found] != NONE)])


def _back(memory: Memory, series: Ints, until: Ints) -> list[Silent]:
    table = memory.table
    gap = missed(table["last_end"][series], until, table["width"][series])
    absent, bins = table["absent"][series], bins_of(surprise(gap))
    pooled = (absent == Absent.NO) & (table["alarm"][series] == 0) & (gap > 0)
    if pooled.any():
        memory.pools.add_rare(Detector.SILENCE, table["cohort"][series[pooled]], bins[pooled])
    learned = series[pooled | (absent == Absent.GONE)]
    table["longest_gap"][learned] = np.maximum(table["longest_gap"][learned], gap[pooled | (absent == Absent.GONE)])
    table["absent"][series] = Absent.NO
    ends = absent == Absent.MISSED
    said = _said(memory, series[ends], Change.CALMED, until[ends], bins[ends])
    _end(memory, series[ends])
    return said


def _go_on(memory: Memory, series: Ints, heard: Ints) -> list[Silent]:
    table, rules = memory.table, memory.rules
    on = where(table["absent"][series] == Absent.MISSED)
    if not on.size:
        return []
    series, heard = series[on], heard[on]
    gap, alarm = missed(table["last_end"][series], heard, table["width"][series]), memory.alarms.of(series)
    bins = bins_of(surprise(gap))
    patience = np.maximum(rules.rebaseline_ms, REBASELINE_WINDOWS * table["width"][series].astype(np.int64))
    gone = heard - alarm.since >= patience
    due = ~gone & (heard - alarm.told >= rules.continues_ms)
    memory.alarms.tell(series[due], heard[due])
    said = _said(memory, series[due], Change.CONTINUES, heard[due], bins[due])
    said += _said(memory, series[gone], Change.NEW_NORMAL, heard[gone], bins[gone])
    _end(memory, series[gone])
    table["absent"][series[gone]] = Absent.GONE
    return said


def _begin(memory: Memory, series: Ints, heard: Ints) -> list[Silent]:
    table = memory.table
    gap = missed(table["last_end"][series], heard, table["width"][series])
    bins, enter = bins_of(surprise(gap)), memory.pools.thresholds(Detector.SILENCE, table["cohort"][series]).enter
    begins = unusual(gap, table["longest_gap"][series]) & (bins >= enter) & (enter != SILENT)
    begins &= (table["absent"][series] == Absent.NO) & (table["alarm"][series] == 0)
    begins &= table["windows"][series] >= WINDOWS
    series, heard = series[begins], heard[begins]
    memory.alarms.begin(series, Alarm(table["last_end"][series], heard, *(table[name][:, series] for name in _RANGES)))
    table["alarm"][series], table["absent"][series] = 1, Absent.MISSED
    return _said(memory, series, Change.ENTERED, heard, bins[begins])


_RANGES = ("low", "high")


def _said(memory: Memory, series: Ints, change: Change, at: Ints, bins: NDArray[np.uint8]) -> list[Silent]:
    since = memory.alarms.of(series).since
    columns = (column.tolist() for column in (series, at, since, bins))
    return [Silent(one, change, *numbers) for one, *numbers in zip(*columns, strict=True)]


def _end(memory: Memory, series: Ints) -> None:
    memory.alarms.end(series)
    memory.table["alarm"][series], memory.table["calm"][series] = 0, 0
