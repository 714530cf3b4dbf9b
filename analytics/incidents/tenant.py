"""One tenant's incidents: what is said waits for its moment, is taken in order of event time, and what came of it is written."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from analytics.incidents.book import Book
from analytics.incidents.fleet import Fleet
from analytics.incidents.grouping import Grouping
from analytics.incidents.telling import due_at, write, write_end
from ingest.contract.events import IncidentEvent, Signal, SummaryEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.incidents.book import Changes
    from analytics.incidents.config import IncidentsConfig

MOMENT_MS = 1000
"""What was said within one second of event time is looked at together."""
FORGET_MS = 30 * 86_400_000
"""The record of an incident that ended is kept for so long, and of at most `ENDED_MOST`."""
ENDED_MOST = 20_000
HELD_MOST = 200_000
"""So many signals wait at the most; when there are more, the earliest do not wait any longer."""


class _State(msgspec.Struct):
    book: Book
    watermark: int
    clock: int
    held: list[Signal]


class Tenant:
    """Everything said up to the watermark has been decided on: in the same way whatever the order it came in.

    What comes for a moment that has passed is taken with the next moment.
    """

    def __init__(self, name: str, config: IncidentsConfig) -> None:
        self._name, self._config = name, config
        self._settle_ms, self._update_ms = round(config.settle_s * 1000), round(config.update_s * 1000)
        self.fleet = Fleet(config.fleet_bytes)
        self._state = _State(Book(name), 0, 0, [])
        self._grouping = Grouping(self._state.book, self.fleet, config)

    @property
    def open(self) -> int:
        """How many incidents are open."""
        return len(self._state.book.open)

    @property
    def full(self) -> int:
        """Series and devices for which there was no room."""
        return self._state.book.full + self.fleet.full

    def incident_of(self, series: str) -> str:
        """The open incident that a series (see `key_of`) is in, empty for none."""
        return self._state.book.of_series.get(series, "")

    def forgotten(self) -> list[str]:
        """Incidents whose records are to be removed now: they ended long ago."""
        ended, too_many = self._state.book.ended, len(self._state.book.ended) - ENDED_MOST
        before = self._state.watermark - FORGET_MS
        over = [name for place, (at, name) in enumerate(ended) if at < before or place < too_many]
        self._state.book.ended = ended[len(over) :]
        return over

    def take(self, summary: SummaryEvent) -> list[IncidentEvent]:
        """What a summary leads to: the watermark is `settle_s` behind the newest clock."""
        state = self._state
        state.clock = max(state.clock, summary.at)
        state.held += summary.signals
        watermark = state.clock - self._settle_ms
        if len(state.held) > HELD_MOST:
            watermark = max(watermark, sorted(one.at for one in state.held)[-HELD_MOST])
        # Only whole moments are taken.
        return list(self._advance(max(state.watermark, _end_of_moment(watermark) - MOMENT_MS)))

    def dump(self) -> bytes:
        """All but the fleet."""
        return msgspec.msgpack.encode(self._state)

    def load(self, dumped: bytes) -> None:
        """Continue; only before anything else, after the fleet."""
        self._state = msgspec.msgpack.decode(dumped, type=_State)
        self._grouping = Grouping(self._state.book, self.fleet, self._config)

    def _advance(self, watermark: int) -> Iterator[IncidentEvent]:
        state = self._state
        ready = sorted((one for one in state.held if one.at <= watermark), key=_order)
        state.held = [one for one in state.held if one.at > watermark]
        for moment, signals in groupby(ready, key=lambda one: max(_end_of_moment(one.at), state.watermark)):
            yield from self._pass(moment, list(signals))
        state.watermark = watermark
        yield from self._pass(watermark, [])

    def _pass(self, moment: int, signals: Sequence[Signal]) -> Iterator[IncidentEvent]:
        yield from self._written_before(moment)
        changes = self._grouping.step(signals, moment)
        yield from self._ends(changes, moment)
        yield from self._written_at(moment)

    def _written_before(self, moment: int) -> Iterator[IncidentEvent]:
        while due := sorted((at, name) for name in self._state.book.open if (at := self._due(name)) and at < moment):
            for at, name in due:
                yield write(self._name, self._state.book.open[name], at, self._update_ms)

    def _written_at(self, moment: int) -> Iterator[IncidentEvent]:
        for name in sorted(self._state.book.open):
            due = self._due(name)
            if due is not None and due <= moment:
                yield write(self._name, self._state.book.open[name], moment, self._update_ms)

    def _due(self, name: str) -> int | None:
        incident = self._state.book.open[name]
        due = due_at(incident, self._update_ms)
        is_over_before = due is not None and not incident.active and self._grouping.ends_at(incident) <= due
        return None if is_over_before else due

    def _ends(self, changes: Changes, moment: int) -> Iterator[IncidentEvent]:
        book = self._state.book
        book.ended += [(moment, one.name) for one in changes.resolved] + [
            (moment, one.incident.name) for one in changes.merged
        ]
        for incident in changes.resolved:
            yield write_end(self._name, incident, self._grouping.ends_at(incident))
        for merged in changes.merged:
            yield write_end(self._name, merged.incident, moment, merged.into)


def _end_of_moment(at: int) -> int:
    return (at // MOMENT_MS + 1) * MOMENT_MS - 1


def _order(signal: Signal) -> tuple[object, ...]:
    return (
        signal.at,
        signal.site,
        signal.device,
        signal.kind,
        signal.metric,
        signal.labels,
        signal.active,
        signal.since,
    )
