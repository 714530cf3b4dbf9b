"""What must be delivered, durably: one row per receiver and change; a row leaves only when the receiver has it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import apsw
import msgspec

from analytics.alerts.notifier import Notification
from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

GROUP_MOST = 100
"""Alerts that travel together at the most."""

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    event BLOB NOT NULL,
    trace TEXT NOT NULL,
    queued_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    grouped TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT 'waiting',
    detail TEXT NOT NULL DEFAULT '',
    done_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (receiver, key)
);
CREATE INDEX IF NOT EXISTS turns ON deliveries (receiver, tries, id) WHERE outcome = 'waiting';
CREATE INDEX IF NOT EXISTS heads ON deliveries (receiver, fingerprint, id) WHERE outcome = 'waiting';
CREATE INDEX IF NOT EXISTS groups ON deliveries (receiver, grouped) WHERE outcome = 'waiting';
CREATE TABLE IF NOT EXISTS living (
    fingerprint TEXT PRIMARY KEY, event BLOB NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL) WITHOUT ROWID;
"""

# The oldest waiting row of each fingerprint: a resolve never overtakes its firing.
_HEADS = """
SELECT id, key, tenant, name, state, grouped FROM deliveries AS d
WHERE receiver = ?1 AND outcome = 'waiting' AND NOT EXISTS (
    SELECT 1 FROM deliveries AS e
    WHERE e.receiver = ?1 AND e.outcome = 'waiting' AND e.fingerprint = d.fingerprint AND e.id < d.id)
"""

# What was tried before lets others go first: one change that a receiver cannot take must not hold up the rest.
_TURN = f"""{_HEADS} AND (grouped <> '' OR queued_at <= ?2 OR queued_at > ?3) ORDER BY tries, id LIMIT 1"""

_ALIKE = f"""{_HEADS} AND grouped = '' AND tenant = ?2 AND name = ?3 AND state = ?4 ORDER BY id LIMIT {GROUP_MOST}"""

_MEMBERS = """
SELECT id, event, trace FROM deliveries WHERE receiver = ? AND outcome = 'waiting' AND grouped = ? ORDER BY id
"""

_QUEUE = """
INSERT OR IGNORE INTO deliveries (receiver, key, fingerprint, tenant, name, state, event, trace, queued_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# The log may hold a change twice: an older one never takes the place of a newer one.
_LIVE = """
INSERT INTO living VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
SET event = excluded.event, started = excluded.started, ended = excluded.ended
WHERE (excluded.started, excluded.ended) >= (started, ended)
"""

_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(AlertEvent)


class _Head(NamedTuple):
    row: int
    key: str
    tenant: str
    name: str
    state: str
    grouped: str


class _Member(NamedTuple):
    row: int
    event: bytes
    trace: str


class Due(NamedTuple):
    """What is to be sent next, and its rows."""

    rows: list[int]
    notification: Notification


class DeadDelivery(NamedTuple):
    """A change that a receiver refused for good."""

    receiver: str
    key: str
    detail: str


class Outbox:
    """One file for all receivers. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(10_000)
        self._db.execute(_SCHEMA).fetchall()

    def queue(self, changes: Sequence[tuple[AlertEvent, str]], receivers: Iterable[str], now: int) -> None:
        """Queue changes (with their traces) for all receivers; what is queued already is left as it is. Fsynced."""
        spoken = [
            (event, trace) for event, trace in changes if event.state is not AlertState.PENDING and event.starts_at
        ]
        living = [(event.fingerprint, _ENCODER.encode(event), event.starts_at, event.ends_at) for event, _ in spoken]
        with self._db:
            for receiver in receivers:
                self._db.executemany(_QUEUE, [_row(receiver, event, trace, now) for event, trace in spoken])
            self._db.executemany(_LIVE, living)

    def next(self, receiver: str, now: int, group_wait_ms: int) -> Due | None:
        """The next group to send, the same members under the same key after a failed try; None when nothing is due."""
        heads = [_Head(*row) for row in self._db.execute(_TURN, (receiver, now - group_wait_ms, now))]
        if not heads:
            return None
        head = heads[0]
        key = head.grouped or self._group(receiver, head)
        members = [_Member(*row) for row in self._db.execute(_MEMBERS, (receiver, key))]
        trace = next((member.trace for member in members if member.trace), "")
        alerts = [_DECODER.decode(member.event) for member in members]
        notification = Notification(key=key, name=head.name, tenant=head.tenant, alerts=alerts, trace=trace)
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

    def waiting(self, receiver: str) -> int:
        """Rows that wait."""
        count = "SELECT count(*) FROM deliveries WHERE receiver = ? AND outcome = 'waiting'"
        return int(self._db.execute(count, (receiver,)).get or 0)

    def dead(self) -> list[DeadDelivery]:
        """What receivers refused for good."""
        rows = self._db.execute("SELECT receiver, key, detail FROM deliveries WHERE outcome = 'dead' ORDER BY id")
        return [DeadDelivery(*map(str, row)) for row in rows]

    def living(self, ended_after: int) -> list[AlertEvent]:
        """Alerts that fire, and those that ended after this time (ms)."""
        rows = self._db.execute("SELECT event FROM living WHERE ended = 0 OR ended > ?", (ended_after,))
        return [_DECODER.decode(row[0]) for row in rows]

    def forget(self, before: int) -> None:
        """Forget what was settled, and what ended, before this time (ms)."""
        with self._db:
            self._db.execute("DELETE FROM deliveries WHERE outcome <> 'waiting' AND done_at < ?", (before,))
            self._db.execute("DELETE FROM living WHERE ended > 0 AND ended < ?", (before,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _group(self, receiver: str, head: _Head) -> str:
        # Written before it is sent: after a crash the same alerts travel under the same key.
        alike = [_Head(*row) for row in self._db.execute(_ALIKE, (receiver, head.tenant, head.name, head.state))]
        key = _group_key([member.key for member in alike])
        with self._db:
            self._db.executemany("UPDATE deliveries SET grouped = ? WHERE id = ?", [(key, m.row) for m in alike])
        return key


def _group_key(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]


def _row(receiver: str, event: AlertEvent, trace: str, now: int) -> tuple[object, ...]:
    return (
        receiver,
        event.idempotency_key(),
        event.fingerprint,
        event.tenant,
        event.name,
        event.state.value,
        _ENCODER.encode(event),
        trace,
        now,
    )
