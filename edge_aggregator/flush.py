"""A flush: what has closed and what has happened becomes records in the outbox, in one transaction with the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.journal.eviction import Eviction, plan, pressed
from edge_aggregator.journal.journal import MOST_SPANS
from edge_aggregator.outbox.cells import extent
from edge_aggregator.outbox.degrade import Scene
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.pending import Pending
from edge_aggregator.state import Progress
from edge_aggregator.windows.recompute import Ground
from edge_aggregator.windows.settle import Past, settle
from ingest.contract.events import DeviceState, GatewayEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_aggregator.journal.block import LostSpan
    from edge_aggregator.outbox.batches import Batch
    from edge_aggregator.rooms import Rooms
    from edge_aggregator.rules.alarm import Alarm
    from edge_aggregator.windows.rollups import Rollups, Settled
    from ingest.contract.events import DeviceEvent
    from ingest.runtime.telemetry import Telemetry


class Moment(NamedTuple):
    """When a flush happens: `now` in ms; `listened` in s (see `Listening`).

    Everything that arrived up to `heard_until` (ms) has been stepped; `cut_off`: no device can be heard.
    """

    now: int
    listened: float
    heard_until: int
    cut_off: bool


class Flushed(NamedTuple):
    """What a flush did, for the metrics; `until` is when the newest of its windows ends (ms), -1 without any.

    `more`: there are windows that close as well; the next flush should follow as soon as commits let it.
    """

    windows: int
    conflicts: int
    pending: Pending
    until: int = -1
    more: bool = False

    def then(self, following: Flushed) -> Flushed:
        """Both as one; `following` came right after."""
        self.pending.add(following.pending)
        return following._replace(
            windows=self.windows + following.windows,
            conflicts=self.conflicts + following.conflicts,
            pending=self.pending,
            until=max(self.until, following.until),
        )


class _Work(NamedTuple):
    settled: Settled
    events: list[DeviceEvent]
    heartbeat: bool
    pending: Pending
    alarms: list[Alarm]
    more: bool


def flush(rooms: Rooms, moment: Moment, telemetry: Telemetry) -> Flushed | None:
    """Write what there is to write; None when there is nothing. Raises StorageFailedError.

    When many windows close at once it writes some of them and is a whole flush nevertheless: a checkpoint that a start
    can go on from, with the rest still open.
    """
    work = _gather(rooms, moment)
    if not _worth_it(rooms, work, moment.now):
        return None
    rollups = work.settled.rollups
    with telemetry.span("edge.flush", windows=len(rollups.series), samples=int(rollups.net.sum())) as trace:
        eviction = _write(rooms, work, moment, trace)
    rooms.journal.checkpointed(rooms.state.boot, rooms.saved.head.seq, rooms.saved.processed)
    rooms.journal.remove(eviction)
    return Flushed(len(rollups.series), work.settled.conflicts, work.pending, _until(rollups), work.more)


def _until(rollups: Rollups) -> int:
    return int((rollups.start + rollups.width).max(initial=-1))


def _gather(rooms: Rooms, moment: Moment) -> _Work:
    windows, saved = rooms.windows, rooms.saved
    seen, forget = rooms.registry.seen(len(rooms.names.devices)), pressed(rooms.journal.folder, rooms.bounds)
    closing = windows.close(moment.now, seen, forget, rooms.windows_at_once)
    past = Past(
        saved.processed,
        saved.evicted_until,
        windows.devices["lost_until"],
        rooms.state.revisions.highest,
        windows.tails,
        windows.told,
        rooms.state.cells.is_coarse,
    )
    settled = settle(closing, Ground(rooms.journal, rooms.position, rooms.names), past)
    rooms.rewidened += rooms.resolution.step(settled.rollups, windows.newest(), moment.now)
    pending, rooms.pending = rooms.pending, Pending()
    due = abs(moment.now - rooms.heartbeat_at) >= rooms.heartbeat_ms  # a clock that jumps back must not silence it
    due &= not closing.more  # what has closed goes first
    events = rooms.registry.tick(moment.now, moment.listened)
    return _Work(settled, events, due, pending, rooms.alarms.book.step(settled.rollups, events), closing.more)


def _worth_it(rooms: Rooms, work: _Work, now: int) -> bool:
    return (
        rooms.position > rooms.saved.processed
        or work.heartbeat
        or bool(work.events)
        or bool(work.alarms)
        or rooms.alarms.waiting()
        or work.settled.anything()
        or bool(rooms.refused)
        or bool(rooms.state.commands.expired(now))
    )


def _write(rooms: Rooms, work: _Work, moment: Moment, trace: str) -> Eviction:
    state, now = rooms.state, moment.now
    with state.transaction():
        _write_batches(rooms, work, now, trace)
        for event in work.events:
            state.outbox.put(Kind.EVENT, now, rooms.records.device(event, trace))
        rooms.desk.answer(work.pending.acks)
        rooms.desk.expire(now)
        rooms.alarms.write(work.alarms, now)
        for letter in work.pending.dead:
            state.outbox.put(Kind.DEAD_LETTER, now, rooms.records.dead_letter(letter, trace))
        if work.heartbeat:
            _write_heartbeat(rooms, moment, trace)
        _make_room(rooms, Scene(rooms.ledger, rooms.windows, now, trace))
        return _write_checkpoint(rooms, now, work.pending.skewed)


def _write_batches(rooms: Rooms, work: _Work, now: int, trace: str) -> None:
    rooms.ledger.settle(work.settled)
    last = 0
    for batch in _batches(rooms, work, now):
        rows = batch.rollups
        covers = extent(rooms.names.columns["device"][rows.series].astype(np.int64), rows.start, rows.width)
        last = rooms.state.outbox.put(Kind.ROLLUPS, now, rooms.records.batch(batch, now, trace), covers)
    rooms.state.revisions.add(work.settled.rollups, last)


def _batches(rooms: Rooms, work: _Work, now: int) -> Iterator[Batch]:
    yield from rooms.maker.make(work.settled.rollups, rooms.ledger, now)
    if work.heartbeat and rooms.ledger.untold():
        yield rooms.maker.account(rooms.ledger, now)


def _write_heartbeat(rooms: Rooms, moment: Moment, trace: str) -> None:
    states = rooms.registry.states()
    event = GatewayEvent(
        **rooms.site._asdict(),
        at=moment.heard_until,
        devices=states.total(),
        silent=states[DeviceState.SILENT.value],
        cut_off=moment.cut_off,
        backlog_bytes=rooms.state.outbox.bytes,
        backlog_from=_backlog_from(rooms, moment.now),
        heartbeat_ms=rooms.heartbeat_ms,
    )
    rooms.state.outbox.forget_heartbeats()
    rooms.state.outbox.put(Kind.HEARTBEAT, moment.now, rooms.records.heartbeat(event, trace))
    rooms.heartbeat_at = moment.now
    rooms.names.widths.forget_past(rooms.windows.settled_until())
    rooms.state.revisions.forget(rooms.windows.past, rooms.state.outbox.gone())


def _backlog_from(rooms: Rooms, now: int) -> int:
    oldest = rooms.state.outbox.oldest([Kind.ROLLUPS])
    waits = oldest is not None and now - oldest > rooms.historical_after_ms
    return (rooms.state.outbox.earliest_window() or 0) if waits else 0


def _make_room(rooms: Rooms, scene: Scene) -> None:
    for waiting in rooms.refused.values():
        rooms.room.discard(waiting, rooms.ledger, rooms.windows)
    rooms.refused.clear()
    rooms.room.make(scene)
    rooms.state.cells.save()


def _lost(rooms: Rooms) -> list[LostSpan]:
    known = rooms.saved.lost_blocks
    return [*known, *(span for span in rooms.journal.lost_spans if span not in known)][-MOST_SPANS:]


def _write_checkpoint(rooms: Rooms, now: int, skewed: int) -> Eviction:
    earliest = rooms.windows.open.earliest()
    needed = rooms.position + 1 if earliest is None else earliest
    eviction = plan(rooms.journal.folder, rooms.bounds, now, needed)
    rooms.saved = Progress(
        processed=rooms.position,
        journaled=rooms.journaled,
        needed=needed,
        evicted_until=max(rooms.saved.evicted_until, eviction.newest_ts),
        kept_from=rooms.journal.folder.firsts[len(eviction.files)] if eviction.files else rooms.saved.kept_from,
        lost_blocks=_lost(rooms),
        events=rooms.records.made,
        totals=rooms.ledger.totals,
        account=rooms.ledger.account.save(),
        head=rooms.ledger.head,
        owed=rooms.ledger.owed,
        gone=rooms.ledger.gone,
        windows=rooms.windows.save(),
        devices=rooms.registry.save(),
        next_series=len(rooms.names.series),
        offenders=rooms.offenders.most(),
        skewed=rooms.saved.skewed + skewed,
    )
    rooms.state.save_names(rooms.names, rooms.rewidened)
    rooms.rewidened.clear()
    rooms.state.save_records(rooms.registry.take_changed())
    rooms.sweeper.sweep(rooms, now)
    rooms.state.save_progress(rooms.saved)
    return eviction
