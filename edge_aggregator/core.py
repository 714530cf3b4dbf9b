"""What a gateway does, without waiting for anything: one thread's own, called by the asyncio shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.decode.decoder import decode
from edge_aggregator.flush import flush
from edge_aggregator.journal.block import Block
from edge_aggregator.live.protocol import ClockAhead
from edge_aggregator.live.taps import Taps
from edge_aggregator.outbox.outbox import HEAD_BYTES, Tried
from edge_aggregator.recorder.search import Search, wanted_series
from edge_aggregator.recovery import recover, step
from edge_aggregator.reload import reload_rooms
from edge_aggregator.state import FILE_NAME, IF_DAMAGED
from edge_aggregator.storage import fatal

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.commands.desk import Changes, Desk, Opened
    from edge_aggregator.commands.table import Known
    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.decode.decoder import Taken
    from edge_aggregator.flush import Flushed, Moment
    from edge_aggregator.journal.block import LostBlock, Row
    from edge_aggregator.journal.merger import Merge
    from edge_aggregator.ledger import Totals
    from edge_aggregator.live.talkers import Talker
    from edge_aggregator.names import Names
    from edge_aggregator.outbox.outbox import Waiting
    from edge_aggregator.recorder.answers import Answer, Answers
    from edge_aggregator.recorder.table import OpenRequest
    from edge_aggregator.rooms import Rooms
    from edge_aggregator.rules.queue import Notification, Target
    from ingest.contract.records import Record
    from ingest.contract.requests import SampleRequest
    from ingest.runtime.telemetry import Telemetry


class Standing(NamedTuple):
    """How full and how far everything is."""

    totals: Totals
    devices: dict[str, int]
    journal_bytes: int
    outbox_bytes: int
    outbox_records: int
    commands: dict[str, int]
    answers_rejected: dict[str, int]
    series: int
    clocks: dict[float, int]
    """Quantiles of how far devices' clocks are ahead (ms), by level."""

    alarms: dict[tuple[str, str], int]
    alarms_dropped: dict[str, int]
    oldest_unsent: int | None
    """When the record that waits longest was made (ms)."""

    quarantined: int
    """Blocks of the journal found damaged since the start."""


class Observed(NamedTuple):
    """What only a running gateway knows of its devices; see LiveStatus."""

    talkers_by_samples: list[Talker]
    talkers_by_bytes: list[Talker]
    clocks_ahead: list[ClockAhead]
    open_samples: int
    quarantined: int


class Core:
    """The order of calls: `commit`, then whoever sent is acknowledged, then `step`; `flush` now and then.

    Every method but the pure ones raises StorageFailedError: then the process must end.
    """

    def __init__(self, rooms: Rooms, telemetry: Telemetry) -> None:
        self._rooms, self._telemetry = rooms, telemetry
        self._committed: list[Block] = []
        self.taps = Taps()
        """Who watches samples as they are acknowledged."""
        try:
            recover(rooms)
        except Exception:
            rooms.close()
            raise

    def commit(self, taken: Iterable[Taken]) -> int:
        """Make durable what arrived: when this returns, it may be acknowledged. How many samples there were."""
        decoded = decode(taken, self._rooms.tables)
        position = self._rooms.journal.append(decoded, self._rooms.names)
        self._committed.append(Block(position, *decoded))
        return decoded.received()

    def take_asked(self) -> dict[str, str]:
        """Devices that want to know the time, with their nonces; between two commits."""
        tables = self._rooms.tables
        asked, tables.asked = tables.asked, {}
        return asked

    def step(self, listened: float) -> None:
        """Take what was committed into the windows."""
        blocks, self._committed = self._committed, []
        for block in blocks:
            step(self._rooms, block, listened)
        if self.taps:
            self.taps.offer(blocks)

    def flush(self, moment: Moment, *, merging: bool = True) -> Flushed | None:
        """Write to the outbox what has closed and what has happened; None when there was nothing.

        `merging`: also do a little of what makes the journal dense, see `begin_merge`.
        """
        flushed = self.flush_turn(moment)
        while flushed is not None and flushed.more:
            following = self.flush_turn(moment)
            flushed = flushed.then(following) if following else flushed._replace(more=False)
        if merging:
            self._rooms.journal.merge(self._rooms.saved.processed, moment.now)
        return flushed

    def flush_turn(self, moment: Moment) -> Flushed | None:
        """The same, but of many windows only some: between two turns there may be commits."""
        with _using_state():
            return flush(self._rooms, moment, self._telemetry)

    def crowded(self) -> bool:
        """Whether so many windows have begun since the last flush that the next one should not wait."""
        return self._rooms.windows.open.fresh >= self._rooms.windows_at_once

    def still(self) -> bool:
        """Whether nothing is open, and nothing has come since the last flush: then only time has something to say."""
        rooms = self._rooms
        waits = rooms.position > rooms.saved.processed or rooms.refused or rooms.alarms.waiting()
        return not waits and not len(rooms.windows.open.rows)

    def begin_merge(self, now: int) -> Merge | None:
        """Blocks of the journal to be packed together at `now` (ms), if it is time to."""
        return self._rooms.journal.begin_merge(self._rooms.saved.processed, now)

    def end_merge(self, merge: Merge, packed: Row | list[LostBlock]) -> None:
        """Write what was packed in the place of what it was packed from."""
        self._rooms.journal.end_merge(merge, packed)

    def head(self) -> list[Waiting]:
        """What goes next when nobody minds the order: news, and backlog when there is none; again what was not sent."""
        self._rooms.state.outbox.take_back(self._rooms.refused)
        return self.fresh() or self.backlog(HEAD_BYTES)

    def fresh(self) -> list[Waiting]:
        """The newest records: from now on they may have arrived. Those that were not `sent` must be `returned`."""
        with _using_state():
            return self._tried(self._rooms.state.outbox.fresh(), Tried.FRESH)

    def backlog(self, most_bytes: int) -> list[Waiting]:
        """Rollups that newer ones have overtaken, about so many bytes: from now on they may have arrived. As `fresh`."""
        with _using_state():
            return self._tried(self._rooms.state.outbox.backlog(most_bytes), Tried.BACKLOG)

    def returned(self, waiting: Sequence[Waiting]) -> None:
        """Records that the log did not take: they will be the next ones."""
        self._rooms.state.outbox.returned(waiting)

    def sent(self, waiting: Sequence[Waiting]) -> None:
        """Forget records that the log has."""
        with self._rooms.state.transaction():
            self._rooms.state.outbox.remove([record.id for record in waiting])

    def refuse(self, waiting: Waiting) -> None:
        """The log will never take this record: the next flush forgets it and counts its samples as dropped."""
        self._rooms.refused[waiting.id] = waiting

    @property
    def desk(self) -> Desk:
        """Of which `ours` and `verify` may be used in any thread."""
        return self._rooms.desk

    def take_commands(self, commands: Sequence[Opened], now: int) -> None:
        """Take verified commands durably; refusals are in the outbox on return."""
        self._rooms.desk.take(commands, now)

    def command_changes(self) -> Changes:
        """Which commands are to be published, and which are not any more, since the last look."""
        return self._rooms.desk.changes()

    def commands_answered(self) -> bool:
        """Whether devices have answered since the last flush."""
        return bool(self._rooms.pending.acks)

    def answer_commands(self) -> None:
        """Take durably what they answered, without waiting for the next flush: the centre waits for it."""
        acks, self._rooms.pending.acks = self._rooms.pending.acks, []
        with self._rooms.state.transaction():
            self._rooms.desk.answer(acks)

    def unanswered(self) -> list[Known]:
        """Commands to be published (again)."""
        with _using_state():
            return self._rooms.state.commands.unanswered()

    @property
    def names(self) -> Names:
        """Devices and series; may be read in any thread."""
        return self._rooms.names

    @property
    def answers(self) -> Answers:
        """Makes what is sent for a request; may be used in any thread."""
        return self._rooms.answers

    def take_requests(self, records: Sequence[Record], now: int) -> Counter[str]:
        """Take requests for raw samples durably; what became of them."""
        return self._rooms.clerk.take(records, now)

    def begin_pull(self, now: int) -> OpenRequest | None:
        """The request to be answered next."""
        return self._rooms.clerk.begin(now)

    def search(self, request: SampleRequest, most: int) -> Search:
        """A search through what has been acknowledged up to now, for at most `most` samples."""
        wanted = wanted_series(self._rooms.names, request.device, request.metrics)
        return Search(request, wanted, self._rooms.journal.last_position, min(most, request.most_samples))

    def search_turn(self, search: Search) -> bool:
        """Read a little of the journal; whether the search's pass is over."""
        return search.turn(self._rooms.journal)

    def close_pull(self, begun: OpenRequest, answer: Answer, now: int) -> None:
        """A request was answered or given up: its line of the audit is in the outbox on return."""
        self._rooms.clerk.close(begun, answer, now)

    def observed(self, now: int, most: int) -> Observed:
        """What is known of single devices at `now` (ms), `most` of each."""
        names, talkers = self._rooms.names.devices, self._rooms.tables.rates.talkers
        furthest = self._rooms.registry.clocks.furthest(most)
        return Observed(
            talkers.most("samples", names, now, most),
            talkers.most("bytes", names, now, most),
            [ClockAhead(names[device], ahead) for device, ahead in furthest],
            self._rooms.ledger.totals.open,
            self._rooms.journal.quarantined,
        )

    def forgotten(self) -> int:
        """The newest timestamp (ms) that the journal has forgotten; -1 without any."""
        return self._rooms.saved.evicted_until

    def alarms_waiting(self, target: Target) -> list[Notification]:
        """What the site is to hear next of its alarms."""
        return self._rooms.state.alarm_queue.head(target)

    def alarm_told(self, notification: Notification) -> None:
        """It has arrived, or never will."""
        with self._rooms.state.transaction():
            self._rooms.state.alarm_queue.remove(notification)

    def reload(self, config: EdgeConfig, keys: Mapping[str, Ed25519PublicKey]) -> None:
        """Work by another configuration from now on, of which only what is reloadable differs."""
        reload_rooms(self._rooms, config, keys)

    def standing(self) -> Standing:
        """For metrics and status."""
        rooms = self._rooms
        return Standing(
            rooms.ledger.totals,
            dict(rooms.registry.states()),
            rooms.journal.folder.bytes(),
            rooms.state.outbox.bytes,
            rooms.state.outbox.records,
            dict(rooms.desk.outcomes),
            dict(rooms.desk.rejected),
            rooms.names.places.total,
            rooms.registry.clocks.distribution(),
            dict(rooms.alarms.book.counts()),
            dict(rooms.state.alarm_queue.dropped),
            rooms.state.outbox.oldest(),
            rooms.journal.quarantined,
        )

    def _tried(self, waiting: list[Waiting], tried: Tried) -> list[Waiting]:
        state = self._rooms.state
        if any(one.tried is Tried.NEVER for one in waiting):
            with state.transaction():
                for extent in state.outbox.mark(waiting, tried):
                    state.cells.fix(extent.cells.items())
                state.cells.save()
        return [one._replace(tried=tried) for one in waiting]

    def close(self) -> None:
        """Close all files; what is open is rebuilt at the next start."""
        self._rooms.close()


def _using_state() -> AbstractContextManager[None]:
    return fatal(f"reading {FILE_NAME}", IF_DAMAGED)
