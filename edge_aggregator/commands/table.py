"""Commands on their way to devices, durable: known once, published until answered or expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ingest.contract.events import AckStatus

if TYPE_CHECKING:
    import apsw

    from ingest.contract.commands import Command

SCHEMA = """
CREATE TABLE IF NOT EXISTS commands (command TEXT PRIMARY KEY, device TEXT NOT NULL, counter INTEGER NOT NULL,
    expires INTEGER NOT NULL, envelope BLOB NOT NULL, trace TEXT NOT NULL, status TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS commands_by_status ON commands (status, device, counter);
CREATE TABLE IF NOT EXISTS command_counters (device TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;
"""
WAITING = "waiting"
KEPT_MS = 7 * 86_400_000
"""For so long after its expiry a command is remembered, so that a second copy of it is recognised."""

_COLUMNS = "command, device, counter, expires, envelope, trace, status"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A command of this gateway; `status` is "waiting" or what was last said of it; `expires` in ms."""

    command: str
    device: str
    counter: int
    expires: int
    envelope: bytes
    trace: str
    status: str = WAITING


class CommandTable:
    """Writes happen within the caller's transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def get(self, command: str) -> Known | None:
        """A command by its id."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM commands WHERE command = ?", (command,)).fetchone()  # noqa: S608 - a constant
        return _known(*row) if row else None

    def highest_counter(self, device: str) -> int:
        """The highest counter taken for a device; -1 without any."""
        row = self._db.execute("SELECT counter FROM command_counters WHERE device = ?", (device,)).fetchone()
        return int(row[0]) if row else -1

    def add(self, command: Command, envelope: bytes, trace: str) -> None:
        """Take a new command."""
        row = (command.command, command.device, command.counter, command.expires, envelope, trace, WAITING)
        self._db.execute("INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._db.execute("INSERT OR REPLACE INTO command_counters VALUES (?, ?)", (command.device, command.counter))

    def answer(self, command: str, status: AckStatus) -> None:
        """What was said of a command."""
        self._db.execute("UPDATE commands SET status = ? WHERE command = ?", (status.value, command))

    def unanswered(self) -> list[Known]:
        """Commands to be published (again), by device and rising counter."""
        query = f"SELECT {_COLUMNS} FROM commands WHERE status IN (?, ?) ORDER BY device, counter"  # noqa: S608 - a constant
        return [_known(*row) for row in self._db.execute(query, (WAITING, AckStatus.ACCEPTED.value))]

    def expired(self, now: int) -> list[Known]:
        """Commands that nobody answered before they expired."""
        return [known for known in self.unanswered() if known.expires <= now]

    def forget(self, now: int) -> None:
        """Forget what expired long before `now` (ms); the counters stay."""
        self._db.execute("DELETE FROM commands WHERE expires < ?", (now - KEPT_MS,))


def _known(*row: Any) -> Known:
    known: Known = msgspec.convert(dict(zip(_COLUMNS.split(", "), row, strict=True)), Known)
    return known
