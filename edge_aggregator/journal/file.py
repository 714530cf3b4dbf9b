"""One file of the journal: blocks by position, and which of them were found damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from edge_aggregator.journal.block import Block, LostBlock, Numbers, Row, as_lost, is_sound, open_row
from edge_aggregator.journal.index import Index
from edge_aggregator.journal.seal import UnknownKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge_aggregator.journal.seal import Keyring
    from edge_aggregator.storage import Storage

SCHEMA = """
CREATE TABLE IF NOT EXISTS sealed (position INTEGER PRIMARY KEY, last INTEGER NOT NULL, min_ts INTEGER NOT NULL,
    max_ts INTEGER NOT NULL, samples INTEGER NOT NULL, received INTEGER NOT NULL, before INTEGER NOT NULL,
    taken INTEGER NOT NULL, key INTEGER NOT NULL, head INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine (position INTEGER PRIMARY KEY, reason TEXT NOT NULL);
"""
_MOST_HIDDEN = 65_536
DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.IOError, UnicodeDecodeError)
_HEADS = f"SELECT {', '.join(Numbers._fields)}, head FROM sealed WHERE position >= ? ORDER BY position"  # noqa: S608 - constants


class JournalFile:
    """A file and its connection; `first` is its first position. Raises apsw.Error."""

    def __init__(self, path: Path, first: int, storage: Storage, ring: Keyring) -> None:
        self.path, self.first, self._ring = path, first, ring
        self._db = storage.open(path, SCHEMA)
        self._page_bytes = int(self._db.pragma("page_size"))
        rows = self._db.execute("SELECT position, reason FROM quarantine")
        self._quarantined = {int(position): str(reason) for position, reason in rows}

    def keys(self) -> set[int]:
        """The ids of the keys that rows name, damaged rows included."""
        return {int(row[0]) for row in self._db.execute("SELECT DISTINCT key FROM sealed")}

    def named_key(self) -> int:
        """The key id in the file's head."""
        return int(self._db.pragma("application_id"))

    def name_key(self, key: int) -> None:
        """Let the file's own head say which key seals it, where `key_of` finds it without opening the file."""
        self._db.pragma("application_id", key)

    def load_index(self, last: int) -> Index:
        """The numbers of all blocks that are sound; blocks up to position `last` may be here."""
        return Index(self._heads(last))

    def append(self, row: Row) -> None:
        """Write a block in one synced transaction."""
        self._db.execute(_INSERT, (*row.numbers, row.head, row.sealed))

    def replace(self, row: Row) -> None:
        """Write a block in place of all that lie within its positions, in one synced transaction."""
        with self._db:
            self._db.execute("DELETE FROM sealed WHERE position BETWEEN ? AND ?", row.numbers[:2])
            self._db.execute(_INSERT, (*row.numbers, row.head, row.sealed))

    def read(self, blocks: Iterable[Numbers]) -> Iterator[Block | LostBlock]:
        """The blocks with these numbers; one that is damaged does not hide the others."""
        for numbers in blocks:
            sealed = self.sealed(numbers)
            yield open_row(numbers, sealed, self.first, self._ring) if isinstance(sealed, bytes) else sealed

    def sealed(self, numbers: Numbers) -> bytes | LostBlock:
        """A block as it was written, to be opened in any thread."""
        if numbers.position in self._quarantined:
            return as_lost(numbers, self._quarantined[numbers.position])
        try:
            query = "SELECT CAST(content AS BLOB) FROM sealed WHERE position = ?"
            row = self._db.execute(query, numbers[:1]).fetchone()
        except DAMAGE as error:
            return as_lost(numbers, str(error))
        return row[0] if row else as_lost(numbers, "the row is missing")

    def is_quarantined(self, position: int) -> bool:
        """Whether the block was found damaged, now or before a restart."""
        return position in self._quarantined

    def quarantine(self, lost: LostBlock) -> bool:
        """Remember why a block cannot be read, so that it never comes back by chance; whether that is news."""
        if lost.position in self._quarantined:
            return False
        self._quarantined[lost.position] = lost.reason
        self._db.execute("INSERT OR IGNORE INTO quarantine VALUES (?, ?)", (lost.position, lost.reason))
        return True

    def bytes(self) -> int:
        """What is in use once the write-ahead log is folded in; pages that merging freed are written again first."""
        return (int(self._db.pragma("page_count")) - int(self._db.pragma("freelist_count"))) * self._page_bytes

    def close(self) -> None:
        """Fold the write-ahead log in and close."""
        self._db.close()

    def _heads(self, last: int) -> Iterator[Numbers]:
        at = self.first
        hidden = 0
        # A page that cannot be read hides only what is on it: the search goes on behind it.
        while at <= last and hidden < _MOST_HIDDEN:
            try:
                for *fields, head in self._db.execute(_HEADS, (at,)):
                    numbers = Numbers(*fields)
                    if self._sound(numbers, head, at):
                        yield numbers
                        at, hidden = numbers.last + 1, 0
            except DAMAGE:
                at, hidden = at + 1, hidden + 1
            else:
                return

    def _sound(self, numbers: Numbers, head: int, at: int) -> bool:
        try:
            sound = is_sound(numbers, head, self.first, self._ring)
        except UnknownKeyError:
            return False
        return sound and at <= numbers.position <= numbers.last


def key_of(path: Path) -> int:
    """The key id in a file's head, 0 where there is none. Raises OSError."""
    with path.open("rb") as file:
        file.seek(_APPLICATION_ID)
        return int.from_bytes(file.read(4), "big")


_APPLICATION_ID = 68
_INSERT = "INSERT INTO sealed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
