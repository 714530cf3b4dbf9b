"""What must be delivered, durably: one row per receiver and change; a row leaves only when the receiver has it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import apsw
import msgspec

from analytics.alerts import outbox_statements as sql
from analytics.alerts.notifier import GROUP_MOST, Notification
from analytics.alerts.outbox_schema import prepare
from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from analytics.alerts.routes import Way

BESIDE_MS = 20
"""What a log's partitions hold of one moment arrives within this time."""

SPOKEN = frozenset({AlertState.FIRING, AlertState.RESOLVED})
"""What every receiver is told of; that nobody needs to hear more for now is news only to those who track that."""

CALLING = frozenset({AlertState.FIRING, AlertState.STALE})
"""Alerts that nobody looks after and nothing suppresses: they are repeated and escalated."""

_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(AlertEvent)


class _Head(NamedTuple):
    row: int
    key: str
    tenant: str
    name: str
    state: str
    grouped: str
    alike: str


class _Member(NamedTuple):
    row: int
    event: bytes
    trace: str


class Due(NamedTuple):
    """What is to be sent next, and its rows."""

    rows: list[int]
    notification: Notification


class Outbox:
    """One file for all receivers. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(10_000)
        prepare(self._db)

    def queue(
        self,
        changes: Sequence[tuple[AlertEvent, str]],
        way: Callable[[AlertEvent], Way],
        now: int,
        trackers: Collection[str] = (),
    ) -> None:
        """Queue changes (with their traces) for whom they concern; what is queued already is left as it is. Fsynced.

        `trackers` are receivers that want to know of acknowledgements. Whoever is told of a firing is told of its end.
        """
        with self._db:
            for event, trace in changes:
                if event.told and event.starts_at:
                    self._queue(event, trace, way(event), now, trackers)

    def next(self, receiver: str, now: int, group_wait_ms: int, most: int = GROUP_MOST) -> Due | None:
        """The next group to send, the same members under the same key after a failed try; None when nothing is due.

        What comes within `group_wait_ms` of a delivery of its like waits so long, and travels together; what does not,
        waits for `BESIDE_MS`.
        """
        times = (now - group_wait_ms, now, now - min(BESIDE_MS, group_wait_ms))
        heads = [_Head(*row) for row in self._db.execute(sql.TURN, (receiver, *times))]
        if not heads:
            return None
        head = heads[0]
        key = head.grouped or self._group(receiver, head, most)
        members = [_Member(*row) for row in self._db.execute(sql.MEMBERS, (receiver, key))]
        trace = next((member.trace for member in members if member.trace), "")
        alerts = [_DECODER.decode(member.event) for member in members]
        notification = Notification(
            key=key, name=head.name, tenant=head.tenant, alerts=alerts, trace=trace, group=_labels(head)
        )
        return Due([member.row for member in members], notification)

    def postpone(self, rows: Sequence[int]) -> None:
        """These were tried in vain: others go first now."""
        with self._db:
            self._db.executemany("UPDATE deliveries SET tries = tries + 1 WHERE id = ?", [(row,) for row in rows])

    def part(self, rows: Sequence[int]) -> None:
        """Each of these travels alone from now on: one of them made the receiver refuse them all."""
        with self._db:
            self._db.executemany("UPDATE deliveries SET grouped = key WHERE id = ?", [(row,) for row in rows])

    def settle(self, rows: Sequence[int], outcome: str, detail: str, now: int) -> None:
        """These rows are `delivered` or `dead`."""
        with self._db:
            self._db.executemany(
                "UPDATE deliveries SET outcome = ?, detail = ?, done_at = ? WHERE id = ?",
                [(outcome, detail, now, row) for row in rows],
            )
            if outcome == "delivered":
                self._db.executemany(sql.REPEAT_LATER, [(now, row) for row in rows])

    def repeat(self, now: int) -> int:
        """Queue again what still fires and was told long enough ago; how many rows."""
        with self._db:
            due = [(int(row), str(name)) for row, name in self._db.execute(sql.REPEATS_DUE, (now,))]
            for row, name in due:
                self._db.execute(sql.REPEAT, (row, f":repeat:{now}", now))
                self._db.execute("DELETE FROM repeats WHERE (receiver, fingerprint) = (?, ?)", name.split("\n"))
        return len(due)

    def escalate(self, way: Callable[[AlertEvent], Way], now: int) -> int:
        """Queue what nobody has acknowledged for long enough for whom that concerns; how many alerts."""
        due = "SELECT event FROM living WHERE escalate_at > 0 AND escalate_at <= ? AND ended = 0"
        with self._db:
            alerts = [_DECODER.decode(row[0]) for row in self._db.execute(due, (now,))]
            for alert in alerts:
                theirs = way(alert)
                fired = msgspec.structs.replace(alert, state=AlertState.FIRING)
                self._insert(theirs.escalate_to, fired, "", theirs, now)
                self._db.execute("UPDATE living SET escalate_at = 0 WHERE fingerprint = ?", (alert.fingerprint,))
        return len(alerts)

    def waiting(self, receiver: str) -> int:
        """Rows that wait."""
        count = "SELECT count(*) FROM deliveries WHERE receiver = ? AND outcome = 'waiting'"
        return int(self._db.execute(count, (receiver,)).get or 0)

    def living(self, ended_after: int, receiver: str = "") -> list[AlertEvent]:
        """Alerts that fire, and those that ended after this time (ms); of a receiver those that it knows the newest of."""
        return [_DECODER.decode(row[0]) for row in self._db.execute(sql.LIVING, (ended_after, receiver))]

    def forget(self, before: int) -> None:
        """Forget what was settled, and what ended, before this time (ms); of what still fires nothing is forgotten."""
        with self._db:
            self._db.execute(sql.FORGET, (before,))
            self._db.execute("DELETE FROM living WHERE ended > 0 AND ended < ?", (before,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _queue(self, event: AlertEvent, trace: str, way: Way, now: int, trackers: Collection[str]) -> None:
        if event.state is AlertState.FIRING:
            for receiver in way.receivers:
                earlier = (event.fingerprint, event.starts_at, receiver, now)
                self._db.execute(sql.SUPERSEDE_HELD, earlier)
                self._db.execute(sql.SUPERSEDE, earlier)
            self._insert(way.receivers, event, trace, way, now)
        elif event.state in SPOKEN or event.state is AlertState.ACKNOWLEDGED:
            # Of a firing that this file knows nothing of, everybody may have been told.
            told = self._told(event) or list(way.receivers)
            theirs = told if event.state in SPOKEN else [name for name in told if name in trackers]
            self._insert(theirs, event, trace, way, now)
        if event.state is AlertState.RESOLVED:
            self._db.execute("DELETE FROM repeats WHERE fingerprint = ?", (event.fingerprint,))
        escalates = event.state is AlertState.FIRING and way.escalate_to
        escalate_at = now + round(way.escalate_after_s * 1000) if escalates else 0
        encoded = _ENCODER.encode(event)
        self._db.execute(
            sql.LIVE, (event.fingerprint, encoded, event.starts_at, event.ends_at, event.state.value, escalate_at)
        )

    def _told(self, event: AlertEvent) -> list[str]:
        return [str(row[0]) for row in self._db.execute(sql.TOLD, (event.fingerprint, event.starts_at))]

    def _insert(self, receivers: Collection[str], event: AlertEvent, trace: str, way: Way, now: int) -> None:
        row = _row(event, trace, way, now)
        self._db.executemany(sql.QUEUE, [(receiver, *row) for receiver in receivers])

    def _group(self, receiver: str, head: _Head, most: int) -> str:
        # Written before it is sent: after a crash the same alerts travel under the same key.
        rows = self._db.execute(sql.ALIKE, (receiver, head.tenant, head.alike, head.state, most))
        alike = [_Head(*row) for row in rows]
        key = _group_key([member.key for member in alike])
        with self._db:
            self._db.executemany("UPDATE deliveries SET grouped = ? WHERE id = ?", [(key, m.row) for m in alike])
        return key


def _labels(head: _Head) -> dict[str, str]:
    if head.alike.startswith("{"):
        return msgspec.json.decode(head.alike, type=dict[str, str])
    return {"alertname": head.name, "tenant": head.tenant}  # queued by an earlier version


def _group_key(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]


def _row(event: AlertEvent, trace: str, way: Way, now: int) -> tuple[object, ...]:
    return (
        event.idempotency_key(),
        event.fingerprint,
        event.tenant,
        event.name,
        event.state.value,
        _ENCODER.encode(event),
        trace,
        now,
        event.starts_at,
        way.alike(),
        way.repeat_s,
    )
