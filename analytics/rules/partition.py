"""One partition's rules about series: rollup batches in, findings out. Nothing here knows the time but from the batches."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.pair_index import MISSING
from analytics.rules.conditions import Judgement, judge
from analytics.rules.kinds import Absence, Forecast, Rate, SeriesRule, Threshold
from analytics.rules.life import RuleColumns, Said, Seen, Spans, Stage
from analytics.rules.lines import Lines
from analytics.rules.matching import Matching, is_metric, rows_of
from analytics.rules.series import RuleSeries
from analytics.rules.windows import Finding, Rows, SiteMark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from analytics.rules.matching import Known
    from ingest.contract.batch import RollupBatch

ROWS_AT_ONCE = 32_768
"""Rows are judged in blocks whose columns stay in the processor's cache."""

SWEEP_MS = 1000
"""Who is not heard is looked for so often, in the site's own time."""

MOST_ROUNDS = 1000
"""Of one batch that holds a series more than once, so many points in time are looked at, the newest."""


class Partition:
    """`counts` says what became of windows; `evaluations` counts judgements of one window by one rule."""

    def __init__(self, rules: Sequence[SeriesRule], most_series: int, forget_ms: int) -> None:
        self.rules, self._forget_ms = rules, forget_ms
        self._matching = Matching(rules)
        rates = sorted({rule.statistic for rule in rules if isinstance(rule, Rate)})
        self.series = RuleSeries(most_series, rates)
        self.columns = [RuleColumns() for _ in rules]
        self.sites: dict[str, SiteMark] = {}
        self.counts: Counter[str] = Counter()
        self.evaluations = 0
        self._scratch = np.zeros(0, np.int32)
        self._absent = [np.zeros(0, np.bool_) if isinstance(rule, Absence) else None for rule in rules]
        self._spans = [Spans(0 if isinstance(rule, Absence) else rule.hold_ms, rule.keep_ms) for rule in rules]
        self._lines = [Lines(rule) if isinstance(rule, Forecast) else None for rule in rules]

    def take(self, batch: RollupBatch) -> list[Finding]:
        """Judge a batch. Backlog and corrections are of the past: they neither fire nor resolve anything."""
        if batch.historical or not len(batch):
            self.counts["historical"] += len(batch)
            return []
        end = batch.column("start") + batch.column("width")
        if not self.series.room_for(batch):
            self._forget(int(end.max()))
        series = self.series.numbers(batch)
        self._grow()
        known = self._matching.known(batch)
        site = self._mark(batch, end)
        findings: list[Finding] = []
        for index in self._rounds(batch, series, end):
            theirs = series[index]
            rows = Rows(batch, index, theirs, end[index], end[index] - self.series.end[theirs], {})
            findings += self._judge(rows, known, site)
        if site.end - site.swept >= SWEEP_MS:
            site.swept = site.end
            findings += self._sweep(batch.origin.tenant, batch.origin.site, site)
        return findings

    def rule_state(self) -> bytes:
        """Where series stand with rules, as MessagePack: only those that are not idle."""
        states = {rule.name: self._sparse(number) for number, rule in enumerate(self.rules)}
        return msgspec.msgpack.encode((states, self.sites))

    def load(self, names: bytes, marks: Mapping[str, bytes], state: bytes) -> None:
        """Continue from a dump; rules that are not there any more are forgotten, a changed one goes on from where it stood."""
        self.series.load(names, dict(marks))
        states, self.sites = msgspec.msgpack.decode(state, type=tuple[dict[str, _Sparse], dict[str, SiteMark]])
        self._grow()
        for number, rule in enumerate(self.rules):
            saved = states.get(rule.name)
            if saved is not None:
                self._restore(number, saved)

    def active(self) -> dict[str, int]:
        """By rule: how many series are pending, firing or quiet."""
        return {rule.name: columns.active for rule, columns in zip(self.rules, self.columns, strict=True)}

    def _mark(self, batch: RollupBatch, end: NDArray[np.int64]) -> SiteMark:
        site = self.sites.setdefault(f"{batch.origin.tenant}/{batch.origin.site}", SiteMark())
        site.end = max(site.end, int(end[batch.column("revision") == 0].max(initial=0)))
        return site

    def _rounds(
        self, batch: RollupBatch, series: NDArray[np.int32], end: NDArray[np.int64]
    ) -> Iterator[NDArray[np.intp]]:
        news = (series != MISSING) & (batch.column("revision") == 0)
        self.counts["no_room"] += int((series == MISSING).sum())
        news &= end > self.series.end[series]
        rows = np.flatnonzero(news)
        theirs = series[rows]
        # Who writes last stays: a series that is there twice does not find its first row again.
        self._scratch[theirs] = np.arange(len(rows), dtype=np.int32)
        if (self._scratch[theirs] == np.arange(len(rows), dtype=np.int32)).all():
            yield from (rows[at : at + ROWS_AT_ONCE] for at in range(0, len(rows), ROWS_AT_ONCE))
            return
        order = np.lexsort((end[rows], theirs))
        rows, theirs = rows[order], theirs[order]
        distinct = np.concatenate([[True], (theirs[1:] != theirs[:-1]) | (end[rows][1:] != end[rows][:-1])])
        rows, theirs = rows[distinct], theirs[distinct]
        first = np.searchsorted(theirs, theirs, side="left")
        turn = np.arange(len(rows)) - first
        for number in range(max(0, int(turn.max(initial=-1)) + 1 - MOST_ROUNDS), int(turn.max(initial=-1)) + 1):
            yield rows[turn == number]

    def _judge(self, rows: Rows, known: Known, site: SiteMark) -> list[Finding]:
        findings: list[Finding] = []
        number = site.number = max(site.number + 1, site.end * 1000)
        for place, rule in enumerate(self.rules):
            columns, metrics = self.columns[place], known.of_metrics[place]
            if metrics is not None and not metrics.any() and not columns.active:
                continue
            watched = rows_of(known, place, rows.batch, rows.at)
            self.evaluations += len(rows.at)
            value, enter, leave = self._condition(place, rows, watched)
            spoken, said = columns.advance(
                Seen(rows.series, rows.end, enter, leave, watched, value), self._spans[place]
            )
            lines = self._lines[place]
            between = [None] * len(spoken) if lines is None else lines.between(rows.series[spoken])
            findings += [
                Finding(rule, int(rows.series[row]), Said(word), int(rows.end[row]), number, float(value[row]), ends)
                for row, word, ends in zip(spoken.tolist(), said.tolist(), between, strict=True)
            ]
        self.series.end[rows.series] = rows.end
        for name, column in self.series.previous.items():
            column[rows.series] = rows.statistic(name)
        return findings

    def _condition(self, place: int, rows: Rows, watched: NDArray[np.bool_] | None) -> Judgement:
        rule, absent = self.rules[place], self._absent[place]
        if isinstance(rule, Threshold):
            value = rows.statistic(rule.statistic)
            before = self.series.previous[rule.statistic][rows.series] if isinstance(rule, Rate) else value
            return judge(rule, value, before, rows.apart)
        lines = self._lines[place]
        if lines is not None and isinstance(rule, Forecast):
            return lines.judge(rows.series, rows.end, rows.statistic(rule.statistic), watched)
        assert absent is not None
        absent[rows.series] = True if watched is None else watched
        here = np.zeros(len(rows.at), np.bool_)
        return Judgement(rows.apart / 1000, here, ~here)

    def _sweep(self, tenant: str, site: str, mark: SiteMark) -> list[Finding]:
        series = self.series.of_site(tenant, site)
        silent_ms = mark.end - self.series.end[series]
        number = mark.number = max(mark.number + 1, mark.end * 1000)
        findings: list[Finding] = []
        for place, rule in enumerate(self.rules):
            columns, absent = self.columns[place], self._absent[place]
            if absent is not None:
                self.evaluations += len(series)
                found = self._look_for_absent(place, series, silent_ms, mark.end)
                # What is gone for good is absent no more. What fired is not over because nothing is heard.
                found += [
                    (n, Said.WITHDRAWN) for n in self._withdraw(place, series[silent_ms >= self._forget_ms]).tolist()
                ]
            elif columns.active:
                found = [(n, Said.UNKNOWN) for n in columns.lose(series[silent_ms >= rule.stale_ms]).tolist()]
            else:
                continue
            findings += [
                Finding(rule, n, said, mark.end, number, (mark.end - int(self.series.end[n])) / 1000)
                for n, said in found
            ]
        return findings

    def _look_for_absent(
        self, place: int, series: NDArray[np.int64], silent_ms: NDArray[np.int64], now: int
    ) -> list[tuple[int, Said]]:
        absent = self._absent[place]
        assert absent is not None
        enter = silent_ms >= self.rules[place].hold_ms
        ends, never = np.full(len(series), now, np.int64), np.zeros(len(series), np.bool_)
        seen = Seen(series.astype(np.int32), ends, enter, never, absent[series])
        spoken, said = self.columns[place].advance(seen, self._spans[place])
        return [(int(series[row]), Said(word)) for row, word in zip(spoken.tolist(), said.tolist(), strict=True)]

    def _withdraw(self, place: int, gone: NDArray[np.int64]) -> NDArray[np.int64]:
        columns, absent = self.columns[place], self._absent[place]
        if not gone.size or absent is None:
            return np.empty(0, np.int64)
        stage = columns.stage[gone]
        columns.active -= int(np.count_nonzero(stage))
        columns.stage[gone], absent[gone] = Stage.IDLE, False
        return gone[stage >= Stage.FIRING]

    def _forget(self, newest: int) -> None:
        size = len(self.series)
        idle = np.ones(size, np.bool_)
        for columns in self.columns:
            idle &= columns.stage[:size] == 0
        kept = np.flatnonzero(~(idle & (self.series.end[:size] < newest - self._forget_ms)))
        if len(kept) == size:
            return
        self.series.keep(kept)
        for columns in self.columns:
            columns.keep(kept)
        self._absent = [None if absent is None else absent[kept] for absent in self._absent]
        for lines in filter(None, self._lines):
            lines.keep(kept)

    def _grow(self) -> None:
        size = len(self.series.end)
        if size > len(self._scratch):
            self._scratch = np.zeros(size, np.int32)
        for columns in self.columns:
            columns.grow_to(size)
        for lines in filter(None, self._lines):
            lines.grow_to(size)
        self._absent = [
            absent
            if absent is None or len(absent) >= size
            else np.concatenate([absent, np.zeros(size - len(absent), bool)])
            for absent in self._absent
        ]

    def _sparse(self, place: int) -> _Sparse:
        columns, absent = self.columns[place], self._absent[place]
        series = np.flatnonzero(columns.stage)
        watched = b"" if absent is None else np.packbits(absent[: len(self.series)]).tobytes()
        lines = self._lines[place]
        line = b"" if lines is None else lines.dump()
        return _Sparse(
            series.tobytes(), columns.stage[series].tobytes(), columns.since[series].tobytes(), watched, line
        )

    def _restore(self, place: int, saved: _Sparse) -> None:
        columns, absent = self.columns[place], self._absent[place]
        series = np.frombuffer(saved.series, np.int64)
        columns.stage[series] = np.frombuffer(saved.stage, np.uint8)
        columns.since[series] = np.frombuffer(saved.since, np.uint32)
        columns.active = len(series)
        if absent is not None and saved.watched:
            bits = np.unpackbits(np.frombuffer(saved.watched, np.uint8), count=len(self.series))
            absent[: len(bits)] = bits.astype(np.bool_) & self._named(place)
        lines = self._lines[place]
        if lines is not None and saved.line:
            lines.load(saved.line, len(self.series.end))

    def _named(self, place: int) -> NDArray[np.bool_]:
        # The rule may be about another metric than when this was saved.
        rule, names = self.rules[place], self.series.metrics.names
        named = np.array([n is not None and is_metric(rule, n.name, dict(n.labels)) for n in names], np.bool_)
        found: NDArray[np.bool_] = named[self.series.metric[: len(self.series)]]
        return found


class _Sparse(msgspec.Struct, array_like=True):
    series: bytes
    stage: bytes
    since: bytes
    watched: bytes
    line: bytes = b""
