"""Notifications that wait for the site's panel and its webhook: durable, in order, bounded in bytes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import apsw

SCHEMA = """
CREATE TABLE IF NOT EXISTS alarm_queue (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, key TEXT NOT NULL,
    life INTEGER NOT NULL, firing INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS alarm_queue_by_key ON alarm_queue (target, key, life);
"""
MOST_BYTES = 8 * 1024 * 1024
HEAD = 64

_PAIRS = "SELECT key, life FROM alarm_queue WHERE target = ?1 GROUP BY key, life HAVING count(*) = 2"


class Target(StrEnum):
    """Where notifications go."""

    MQTT = "mqtt"
    WEBHOOK = "webhook"


class Notification(NamedTuple):
    """One of them: `key` is a device (MQTT) or an alarm's fingerprint (webhook), `life` when the alarm fired (ms)."""

    id: int
    target: Target
    key: str
    life: int
    firing: bool
    body: bytes


class AlarmQueue:
    """Writes happen within the caller's transaction. `dropped` counts what there was no room for, by target."""

    def __init__(self, db: apsw.Connection, most_bytes: int = MOST_BYTES) -> None:
        self._db, self._most_bytes = db, most_bytes
        self.dropped: dict[str, int] = {target.value: 0 for target in Target}
        sizes = dict(db.execute("SELECT target, sum(bytes) FROM alarm_queue GROUP BY target"))
        self._bytes = {target: int(sizes.get(target.value, 0)) for target in Target}

    def state(self, device: str, body: bytes) -> None:
        """What a device's topic is to say; what it was to say before is out of date."""
        self._delete(Target.MQTT, "key = ?2", device)
        self._put(Target.MQTT, device, 0, body, firing=False)

    def change(self, fingerprint: str, life: int, body: bytes, *, firing: bool) -> None:
        """An alarm fired or ended. Of an earlier life nobody heard of, nobody needs to hear any more."""
        if firing:
            self._delete(Target.WEBHOOK, f"key = ?2 AND (key, life) IN ({_PAIRS})", fingerprint)
        self._put(Target.WEBHOOK, fingerprint, life, body, firing=firing)

    def head(self, target: Target) -> list[Notification]:
        """The oldest that wait."""
        query = "SELECT id, key, life, firing, body FROM alarm_queue WHERE target = ? ORDER BY id LIMIT ?"
        rows = self._db.execute(query, (target.value, HEAD))
        return [
            Notification(number, target, key, life, bool(firing), bytes(body))
            for number, key, life, firing, body in rows
        ]

    def remove(self, notification: Notification) -> None:
        """It has arrived, or never will."""
        self._delete(notification.target, "id = ?2", notification.id)

    def _put(self, target: Target, key: str, life: int, body: bytes, *, firing: bool) -> None:
        row = (target.value, key, life, firing, len(body), body)
        query = "INSERT INTO alarm_queue (target, key, life, firing, bytes, body) VALUES (?, ?, ?, ?, ?, ?)"
        self._db.execute(query, row)
        self._bytes[target] += len(body)
        while self._bytes[target] > self._most_bytes:
            self._drop(target)

    def _drop(self, target: Target) -> None:
        # First what began and ended unheard, then what began; that something ended is the last to go.
        pair = self._db.execute(f"{_PAIRS} ORDER BY min(id) LIMIT 1", (target.value,)).fetchone()
        oldest = "id = (SELECT id FROM alarm_queue WHERE target = ?1 ORDER BY firing DESC, id LIMIT 1)"
        gone = self._delete(target, "key = ?2 AND life = ?3", *pair) if pair else self._delete(target, oldest)
        self.dropped[target.value] += gone

    def _delete(self, target: Target, where: str, *values: str | int) -> int:
        query = f"DELETE FROM alarm_queue WHERE target = ?1 AND {where} RETURNING bytes"  # noqa: S608 - constants
        sizes = [int(row[0]) for row in self._db.execute(query, (target.value, *values))]
        self._bytes[target] -= sum(sizes)
        return len(sizes)
