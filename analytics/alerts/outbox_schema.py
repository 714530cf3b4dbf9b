"""The outbox's file: its tables, and how the file of an earlier version becomes one of this."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apsw

VERSION = 3

_DELIVERIES = """
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
    life INTEGER NOT NULL DEFAULT 0,
    alike TEXT NOT NULL DEFAULT '',
    repeat_s REAL NOT NULL DEFAULT 0,
    UNIQUE (receiver, key)
);
"""

_LIVING = """
CREATE TABLE IF NOT EXISTS living (
    fingerprint TEXT PRIMARY KEY,
    event BLOB NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT '',
    escalate_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""

_REST = """
CREATE TABLE IF NOT EXISTS repeats (
    receiver TEXT NOT NULL, fingerprint TEXT NOT NULL, life INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (receiver, fingerprint)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due ON repeats (at);
CREATE INDEX IF NOT EXISTS turns ON deliveries (receiver, tries, id) WHERE outcome = 'waiting';
CREATE INDEX IF NOT EXISTS blockers ON deliveries (receiver, fingerprint, id) WHERE outcome IN ('waiting', 'dead');
CREATE INDEX IF NOT EXISTS mates ON deliveries (receiver, alike, state, id) WHERE outcome = 'waiting' AND grouped = '';
CREATE INDEX IF NOT EXISTS groups ON deliveries (receiver, grouped) WHERE outcome = 'waiting';
CREATE INDEX IF NOT EXISTS lives ON deliveries (fingerprint, life);
CREATE INDEX IF NOT EXISTS settled ON deliveries (done_at) WHERE outcome <> 'waiting';
CREATE INDEX IF NOT EXISTS lately ON deliveries (receiver, alike, state, done_at) WHERE outcome = 'delivered';
CREATE INDEX IF NOT EXISTS unanswered ON living (escalate_at) WHERE escalate_at > 0;
"""

_OLD = """
ALTER TABLE deliveries ADD COLUMN life INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN alike TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN repeat_s REAL NOT NULL DEFAULT 0;
ALTER TABLE living ADD COLUMN state TEXT NOT NULL DEFAULT '';
ALTER TABLE living ADD COLUMN escalate_at INTEGER NOT NULL DEFAULT 0;
DROP INDEX IF EXISTS heads;
UPDATE deliveries SET alike = name;
UPDATE living SET state = CASE WHEN ended THEN 'resolved' ELSE 'firing' END;
"""

# A key is `{fingerprint}:{starts_at}:{state}`.
_OLD_LIVES = """
UPDATE deliveries SET life = CAST(substr(key, length(fingerprint) + 2) AS INTEGER)
"""


def prepare(db: apsw.Connection) -> None:
    """Make the tables, or bring those of an earlier version up to this one."""
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA synchronous = FULL").fetchall()
    version = int(db.execute("PRAGMA user_version").get or 0)
    if version == VERSION:
        return
    with db:
        is_first = bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries'").get) and not version
        if is_first:
            db.execute(_OLD + _OLD_LIVES)
        db.execute(_DELIVERIES + _LIVING + _REST)
        db.execute(f"PRAGMA user_version = {VERSION}")
