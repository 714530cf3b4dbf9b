"""Commands on their way to devices, durable: known once, published until answered or expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import apsw

    from ingest.contract.commands import Command

# Names of commands are as good as random: envelopes lie in the order of their coming, so that a wave fills page after page,
# and only the index of the names is written everywhere. Files that were made before keep them in the order of the names.
SCHEMA = """
CREATE TABLE IF NOT EXISTS commands (command TEXT PRIMARY KEY, device TEXT NOT NULL, counter INTEGER NOT NULL,
    expires INTEGER NOT NULL, envelope BLOB NOT NULL, trace TEXT NOT NULL, status TEXT NOT NULL);
DROP INDEX IF EXISTS commands_by_status;
CREATE INDEX IF NOT EXISTS commands_by_expiry ON commands (status, expires);
CREATE TABLE IF NOT EXISTS command_counters (device TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;
"""
WAITING = "waiting"
CLOCK_UNSET = CommandRefusal.CLOCK_UNSET.value
"""Its device does not know the time yet."""
OPEN = (WAITING, AckStatus.ACCEPTED.value, CLOCK_UNSET)
"""Nothing final has been said: it is published again."""
KEPT_MS = 7 * 86_400_000
"""For so long after its expiry a command is remembered, so that a second copy of it is recognised."""

_COLUMNS = "command, device, counter, expires, envelope, trace, status"
_NAMES = _COLUMNS.split(", ")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A command of this gateway; `status` is "waiting", "clock_unset" or what was last said of it; `expires` in ms."""

    command: str
    device: str
    counter: int
    expires: int
    envelope: bytes
    trace: str
    status: str = WAITING


class Book(NamedTuple):
    """Commands that were taken before, and the highest counter taken of each device that has had one."""

    known: set[str]
    counters: dict[str, int]

    def note(self, command: Command) -> None:
        """This one is taken, too."""
        self.known.add(command.command)
        self.counters[command.device] = command.counter


class CommandTable:
    """Writes happen within the caller's transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def get(self, command: str) -> Known | None:
        """A command by its id."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM commands WHERE command = ?", (command,)).fetchone()  # noqa: S608 - a constant
        return _known(*row) if row else None

    def book(self, commands: Iterable[Command]) -> Book:
        """What must be known of these commands and their devices before they are taken."""
        names = msgspec.json.encode([command.command for command in commands])
        devices = msgspec.json.encode(list({command.device for command in commands}))
        known = self._db.execute(
            "SELECT command FROM commands WHERE command IN (SELECT value FROM json_each(?))", (names,)
        )
        counters = self._db.execute(
            "SELECT device, counter FROM command_counters WHERE device IN (SELECT value FROM json_each(?))", (devices,)
        )
        return Book({str(name) for (name,) in known}, {str(device): int(counter) for device, counter in counters})

    def add(self, taken: Sequence[Known]) -> None:
        """Take new commands; of each device the highest counter comes last."""
        self._db.executemany("INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?)", map(msgspec.structs.astuple, taken))
        counters = {known.device: known.counter for known in taken}
        self._db.executemany("INSERT OR REPLACE INTO command_counters VALUES (?, ?)", counters.items())

    def answer(self, command: str, status: str) -> None:
        """What was said of a command."""
        self._db.execute("UPDATE commands SET status = ? WHERE command = ?", (status, command))

    def unanswered(self) -> list[Known]:
        """Commands to be published (again), by device and rising counter."""
        query = f"SELECT {_COLUMNS} FROM commands WHERE status IN (?, ?, ?) ORDER BY device, counter"  # noqa: S608 - a constant
        return [_known(*row) for row in self._db.execute(query, OPEN)]

    def expired(self, now: int) -> list[Known]:
        """Commands that nobody answered before they expired."""
        query = f"SELECT {_COLUMNS} FROM commands WHERE status IN (?, ?, ?) AND expires <= ? ORDER BY device, counter"  # noqa: S608 - a constant
        return [_known(*row) for row in self._db.execute(query, (*OPEN, now))]

    def forget(self, now: int) -> None:
        """Forget what expired long before `now` (ms); the counters stay."""
        self._db.execute("DELETE FROM commands WHERE expires < ?", (now - KEPT_MS,))


def _known(*row: Any) -> Known:
    return Known(**dict(zip(_NAMES, row, strict=True)))
