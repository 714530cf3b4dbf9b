"""The embedded log's file: its tables, how it is opened, and what SQLite's errors mean to the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.transaction import transaction

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 1

OFFSET_BITS = 40
"""A record's row id is its partition's row id and its offset side by side: a partition is one range of the table."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    name TEXT PRIMARY KEY, compacted INTEGER NOT NULL, retention_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS partitions (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, part));
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB NOT NULL, headers BLOB NOT NULL, value BLOB);
-- Of compacted topics: the newest record of each key, and the records that may go once they are old enough.
CREATE TABLE IF NOT EXISTS newest (
    partition INTEGER, key BLOB, record INTEGER NOT NULL, PRIMARY KEY (partition, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS superseded (record INTEGER PRIMARY KEY);
-- Consumer groups. A claim holds as long as its owner's membership; `epoch` tells one holding from a later one.
CREATE TABLE IF NOT EXISTS groups (name TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    grp TEXT, name TEXT, instance TEXT NOT NULL, topics TEXT NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (grp, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    grp TEXT, partition INTEGER, owner TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (grp, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS committed (
    grp TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (grp, partition)) WITHOUT ROWID;
"""

_REMEDIES: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.BusyError, "another process holds it: wait, or stop that process"),
    (apsw.FullError, "the disk is full: free some space"),
    (apsw.CantOpenError, "it cannot be opened: check that its folder exists and belongs to this user"),
    (apsw.ReadOnlyError, "it is read-only: check its owner and the file system"),
    (apsw.NotADBError, "it is not a log of tidegate: name another file"),
    (apsw.CorruptError, "it is damaged: restore it, or move it away to begin a new one"),
)
DISTRUSTED: tuple[type[Exception], ...] = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)
"""Errors after which a connection is opened anew: what it remembers of a bad disk is not to be trusted."""

UNAVAILABLE: tuple[type[Exception], ...] = (
    *(kind for kind, _ in _REMEDIES),
    *DISTRUSTED,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    OSError,
)
"""Errors that keep the file from being used, as opposed to a mistake in the SQL."""


def open_file(path: Path, *, patience_s: float, durable: bool) -> apsw.Connection:
    """Open the log, create it if need be. `durable`: fsync at every commit, else at the next durable one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = apsw.Connection(str(path))
    db.set_busy_timeout(round(patience_s * 1000))
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute("PRAGMA journal_size_limit = 16777216")
    _ensure_schema(db, path)
    return db


def _ensure_schema(db: apsw.Connection, path: Path) -> None:
    with transaction(db):
        version = db.pragma("user_version")
        if version > SCHEMA_VERSION:
            raise LogUnavailableError(
                f"{path}: written by a newer release (schema {version}, this one knows {SCHEMA_VERSION}): update"
            )
        if version < SCHEMA_VERSION:
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def unavailable(path: Path, error: Exception) -> LogUnavailableError:
    """What keeps the file from being used, with what to do about it."""
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), "check the disk")
    return LogUnavailableError(f"{path}: {error}; {remedy}")
