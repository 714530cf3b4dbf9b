"""What must be delivered, durably: one row per receiver and change; a row leaves only when the receiver has it."""

from __future__ import annotations

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
    outcome TEXT NOT NULL DEFAULT 'waiting',
    detail TEXT NOT NULL DEFAULT '',
    done_at INTEGER NOT NULL DEFAULT 0,
    grouped TEXT NOT NULL DEFAULT '',
    UNIQUE (receiver, key)
);
CREATE INDEX IF NOT EXISTS waiting ON deliveries (receiver, id) WHERE outcome = 'waiting';
CREATE TABLE IF NOT EXISTS living (fingerprint TEXT PRIMARY KEY, event BLOB NOT NULL, ended INTEGER NOT NULL)
    WITHOUT ROWID;
"""

_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(AlertEvent)

# The oldest waiting row of each fingerprint: a resolve never overtakes its firing.
_HEADS = """
SELECT id, key, tenant, name, state, event, trace, queued_at, grouped FROM deliveries AS d
WHERE receiver = ?1 AND outcome = 'waiting' AND NOT EXISTS (
    SELECT 1 FROM deliveries AS e
    WHERE e.receiver = ?1 AND e.outcome = 'waiting' AND e.fingerprint = d.fingerprint AND e.id < d.id)
ORDER BY id LIMIT 1000
"""


class _Head(NamedTuple):
    row: int
    key: str
    tenant: str
    name: str
    state: str
    event: bytes
    trace: str
    queued_at: int
    grouped: str


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
        with self._db:
            for receiver in receivers:
                self._db.executemany(
                    "INSERT OR IGNORE INTO deliveries (receiver, key, fingerprint, tenant, name, state, event, trace,"
                    " queued_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_row(receiver, event, trace, now) for event, trace in spoken],
                )
            self._db.executemany(
                "INSERT OR REPLACE INTO living VALUES (?, ?, ?)",
                [(event.fingerprint, _ENCODER.encode(event), event.ends_at) for event, _ in spoken],
            )

    def next(self, receiver: str, now: int, group_wait_ms: int) -> tuple[list[int], Notification] | None:
        """The next group to send, with its rows; equal after a failed try. None when nothing is due."""
        heads = [_Head(*row) for row in self._db.execute(_HEADS, (receiver,))]
        if not heads or (not heads[0].grouped and now - heads[0].queued_at < group_wait_ms):
            return None
        group = _together(heads)
        key = group[0].grouped or group[0].key
        with self._db:
            self._db.executemany("UPDATE deliveries SET grouped = ? WHERE id = ?", [(key, head.row) for head in group])
        alerts = [_DECODER.decode(head.event) for head in group]
        trace = next((head.trace for head in group if head.trace), "")
        first = group[0]
        return [head.row for head in group], Notification(
            key=key, name=first.name, tenant=first.tenant, alerts=alerts, trace=trace
        )

    def settle(self, rows: Sequence[int], outcome: str, detail: str, now: int) -> None:
        """These rows are `delivered` or `dead`."""
        with self._db:
            self._db.executemany(
                "UPDATE deliveries SET outcome = ?, detail = ?, done_at = ? WHERE id = ?",
                [(outcome, detail, now, row) for row in rows],
            )

    def waiting(self, receiver: str) -> int:
        """Rows that wait."""
        found = self._db.execute(
            "SELECT count(*) FROM deliveries WHERE receiver = ? AND outcome = 'waiting'", (receiver,)
        ).get
        return int(found)

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


def _together(heads: list[_Head]) -> list[_Head]:
    first = heads[0]
    # A group that was tried before is tried as it was: its key must stay the same.
    if first.grouped:
        return [head for head in heads if head.grouped == first.grouped]
    like = (first.tenant, first.name, first.state)
    same = [head for head in heads if not head.grouped and (head.tenant, head.name, head.state) == like]
    return same[:GROUP_MOST]


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
