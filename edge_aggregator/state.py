"""The gateway's own state in one file: outbox, checkpoint, devices, series, commands; each flush is one transaction."""

from __future__ import annotations

import functools
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from edge_aggregator.commands.table import SCHEMA as COMMANDS_SCHEMA
from edge_aggregator.commands.table import CommandTable
from edge_aggregator.journal.block import LostSpan
from edge_aggregator.journal.codec import unpack_integers
from edge_aggregator.ledger import Head, Totals
from edge_aggregator.names import SeriesName, SeriesRow
from edge_aggregator.outbox.cells import SCHEMA as CELLS_SCHEMA
from edge_aggregator.outbox.cells import Cells
from edge_aggregator.outbox.migrate import from_version_1
from edge_aggregator.outbox.outbox import SCHEMA as OUTBOX_SCHEMA
from edge_aggregator.outbox.outbox import Outbox
from edge_aggregator.outbox.revisions import SCHEMA as REVISIONS_SCHEMA
from edge_aggregator.outbox.revisions import Revisions
from edge_aggregator.recorder.table import SCHEMA as REQUESTS_SCHEMA
from edge_aggregator.recorder.table import RequestTable
from edge_aggregator.resolution.past_widths import SCHEMA as PAST_WIDTHS_SCHEMA
from edge_aggregator.resolution.past_widths import PastWidth
from edge_aggregator.rules.alarm import SCHEMA as ALARMS_SCHEMA
from edge_aggregator.rules.alarm import AlarmTable
from edge_aggregator.rules.queue import SCHEMA as ALARM_QUEUE_SCHEMA
from edge_aggregator.rules.queue import AlarmQueue
from edge_aggregator.storage import StorageFailedError, fatal, with_sum, without_sum
from ingest.contract.ledger import Spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edge_aggregator.names import Names
    from edge_aggregator.quotas.places import Places
    from edge_aggregator.storage import Storage

VERSION = 2
FILE_NAME = "state.db"
IF_DAMAGED = (
    f"it is damaged: move {FILE_NAME}, {FILE_NAME}-wal and {FILE_NAME}-shm to another folder and start again, then "
    "everything in the journal is worked up anew under a new boot"
)

_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY, name TEXT NOT NULL, record BLOB);
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, device INTEGER NOT NULL, metric TEXT NOT NULL,
    labels BLOB NOT NULL, width INTEGER NOT NULL, next_width INTEGER NOT NULL, switch INTEGER NOT NULL);
"""
    + OUTBOX_SCHEMA
    + CELLS_SCHEMA
    + REVISIONS_SCHEMA
    + PAST_WIDTHS_SCHEMA
    + COMMANDS_SCHEMA
    + REQUESTS_SCHEMA
    + ALARMS_SCHEMA
    + ALARM_QUEUE_SCHEMA
)
_DISTINCT_LABELS = 1024
_LABELS = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...])


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the journal is worked up.

    `processed`: the last block that everything here contains; `journaled`: samples received by the journal with it;
    `needed`: the first block that an open window needs; `evicted_until`: the newest timestamp (ms) that the journal has
    forgotten; `kept_from`: the first block that was not evicted; `events`: how many events were made; `next_series`: the lowest id that no series ever had; `offenders`:
    samples that overflowed, by device; `skewed`: samples from the future, held to their arrival; `lost_blocks`: the newest
    ones; `owed` and `gone`: what the next entry of the ledger tells of batches dropped; `account`: the account by device.
    """

    processed: int = 0
    journaled: int = 0
    needed: int = 1
    lost_blocks: list[LostSpan] = []
    evicted_until: int = -1
    kept_from: int = 1
    events: int = 0
    totals: Totals = Totals()
    head: Head = Head()
    windows: dict[str, bytes] = {}
    devices: dict[str, bytes] = {}
    next_series: int = 0
    offenders: dict[str, int] = {}
    skewed: int = 0
    owed: int = 0
    gone: Spans = ()
    account: dict[str, bytes] = {}


def read_progress(meta: Mapping[str, bytes]) -> Progress:
    """The checkpoint among the values of `meta`. Raises apsw.CorruptError, msgspec.DecodeError."""
    if "checkpoint" in meta:
        return msgspec.msgpack.decode(without_sum(meta["checkpoint"]), type=Progress)
    # Until version 1 it had no checksum of its own.
    return msgspec.msgpack.decode(meta["progress"], type=Progress) if "progress" in meta else Progress()


class State:
    """Not for several threads at once. Raises StorageFailedError when the file cannot be read or written."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        with _reading():
            self._db = storage.open(folder / FILE_NAME, _SCHEMA, checksums=True)
            self._check_version()
            self.boot = self._boot()
            self.outbox, self.revisions, self.commands = Outbox(self._db), Revisions(self._db), CommandTable(self._db)
            self.requests, self.cells = RequestTable(self._db), Cells(self._db)
            self.alarms, self.alarm_queue = AlarmTable(self._db), AlarmQueue(self._db)
        self._saved_series = self._saved_devices = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, synced when left. Raises StorageFailedError."""
        with fatal(f"writing {FILE_NAME}", IF_DAMAGED), self._db:
            yield

    def load_names(self, names: Names) -> dict[int, bytes]:
        """Teach `names` what is known; the devices' records by id."""
        with _reading():
            return self._load_names(names)

    def _load_names(self, names: Names) -> dict[int, bytes]:
        records = {}
        for number, name, record in self._db.execute("SELECT id, name, record FROM devices"):
            names.define_device(int(number), str(name))
            if record is not None:
                records[int(number)] = bytes(record)
        query = "SELECT id, device, metric, labels, width, next_width, switch FROM series"
        names.define_series([_series_row(row) for row in self._db.execute(query)])
        past = self._db.execute("SELECT series, until, width FROM past_widths")
        names.widths.load_past([PastWidth(*row) for row in past if row[0] < len(names.series)])
        self._saved_series, self._saved_devices = len(names.series), len(names.devices)
        return records

    def load_progress(self) -> Progress:
        """As saved last; the beginning when nothing was saved."""
        with _reading():
            return read_progress(dict(self._db.execute("SELECT name, value FROM meta")))

    def save_names(self, names: Names, changed_series: Iterable[int] = ()) -> None:
        """Save devices and series that are new. Within a transaction."""
        devices = range(self._saved_devices, len(names.devices))
        self._db.executemany(
            "INSERT OR IGNORE INTO devices (id, name) VALUES (?, ?)",
            [(number, names.devices[number]) for number in devices if names.devices[number]],
        )
        series = [*range(self._saved_series, len(names.series)), *changed_series]
        rows = map(_series_values, names.rows(series))
        self._db.executemany("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self._saved_series, self._saved_devices = len(names.series), len(names.devices)
        fresh, gone = names.widths.past.take_changes()
        self._db.executemany("INSERT OR REPLACE INTO past_widths VALUES (?, ?, ?)", fresh)
        self._db.executemany("DELETE FROM past_widths WHERE series = ? AND until = ?", [row[:2] for row in gone])

    def forget_series(self, series: Iterable[int]) -> None:
        """Forget series that nothing refers to any more. Within a transaction."""
        self._db.executemany("DELETE FROM series WHERE id = ?", [(number,) for number in series])

    def save_places(self, places: Places) -> None:
        """Save who has a place, as of a sweep. Within a transaction."""
        self._set("places", places.save())

    def load_places(self, names: Names, position: int) -> None:
        """Restore who had a place; what is not known to have lost it keeps it. `position`: the newest block."""
        if saved := self._get("places"):
            names.places.restore(saved, position)

    def save_records(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Save what changed of devices. Within a transaction."""
        self._db.executemany("UPDATE devices SET record = ? WHERE id = ?", [(data, number) for number, data in records])

    def save_progress(self, progress: Progress) -> None:
        """Save the checkpoint. Within a transaction."""
        self._set("checkpoint", with_sum(msgspec.msgpack.encode(progress)))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _check_version(self) -> None:
        found = int(self._db.pragma("user_version"))
        if found > VERSION:
            raise StorageFailedError(
                f"{FILE_NAME} has version {found}, this program knows {VERSION}: start the newer program again"
            )
        if found < VERSION:
            with self._db:
                if found == 1:
                    from_version_1(self._db, self._horizon())
                self._db.pragma("user_version", VERSION)

    def _horizon(self) -> int:
        saved = read_progress(dict(self._db.execute("SELECT name, value FROM meta")))
        return int(unpack_integers(saved.windows["horizon"]).max(initial=0)) if saved.windows else 0

    def _boot(self) -> str:
        # Names this very file: whoever starts with an empty one begins a new account.
        known = self._get("boot")
        boot = known.decode() if known else secrets.token_hex(8)
        if not known:
            self._set("boot", boot.encode())
        return boot

    def _get(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def _set(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def _reading() -> AbstractContextManager[None]:
    return fatal(f"reading {FILE_NAME}", IF_DAMAGED)


def _series_values(row: SeriesRow) -> tuple[int, int, str, bytes, int, int, int]:
    name = row.name
    labels = msgspec.msgpack.encode(name.labels)
    return row.id, name.device, name.metric, labels, row.width, row.next_width, row.switch


def _series_row(row: tuple[Any, ...]) -> SeriesRow:
    number, device, metric, labels, *widths = row
    return SeriesRow(number, SeriesName(device, metric, _labels(labels)), *widths)


@functools.lru_cache(_DISTINCT_LABELS)
def _labels(data: bytes) -> tuple[tuple[str, str], ...]:
    return _LABELS.decode(data)
