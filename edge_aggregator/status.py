"""The account of a gateway, read from its folder while it runs or not: `tidegate edge status`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import msgspec

from edge_aggregator.class_account import DeviceAccount
from edge_aggregator.devices.record import Record
from edge_aggregator.journal.block import LostSpan
from edge_aggregator.ledger import Totals
from edge_aggregator.rules.alarm import Alarm, AlarmTable
from edge_aggregator.state import FILE_NAME, Progress, read_progress
from edge_aggregator.storage import BUSY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.contract.ledger import ClassCounts


class StatusError(ValueError):
    """There is no gateway's state to be read; the text says what was found."""


class EdgeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """As of the newest flush; samples that were acknowledged since are in the journal and not counted yet.

    `oldest_unsent` in ms since the epoch, None when nothing waits; `journal_bytes` on disk; `quarantined_blocks` of the
    journal cannot be read.
    """

    boot: str
    totals: Totals
    classes: dict[str, dict[str, int]]
    """The totals by the devices' hardware, as batches have them."""
    balanced: bool
    seq: int
    outbox_records: int
    outbox_bytes: int
    oldest_unsent: int | None
    commands_waiting: int
    requests_waiting: int
    devices: int
    series: int
    journal_bytes: int
    quarantined_blocks: int
    alarms: list[Alarm]
    """Those that are pending or firing, the ones that changed last first."""
    over_quota: dict[str, int]
    """Samples in overflow series, by device: those with the most."""
    skewed: int
    """Samples from the future, held to the time of their arrival."""
    lost_blocks: list[LostSpan]
    """Blocks of the journal that could not be read, the newest ones, from the first to the last position and why."""


def totals(data_dir: Path) -> Totals:
    """The samples of a gateway by what became of them. Raises StatusError."""
    return status(data_dir).totals


def status(data_dir: Path) -> EdgeStatus:
    """How a gateway stands. Raises StatusError."""
    path = data_dir / FILE_NAME
    if not path.exists():
        raise StatusError(f"{path} does not exist: is {data_dir} the gateway's data_dir, and has it ever run?")
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(BUSY_MS)
        with closing(db), db:  # one transaction: all numbers are of one flush
            found = _read(db, data_dir)
    except (apsw.Error, msgspec.DecodeError) as error:
        raise StatusError(f"{path} cannot be read: {error}") from error
    return found


def _read(db: apsw.Connection, data_dir: Path) -> EdgeStatus:
    meta = {str(name): bytes(value) for name, value in db.execute("SELECT name, value FROM meta")}
    progress = read_progress(meta)
    waiting = db.execute("SELECT count(*), coalesce(sum(bytes), 0), min(created) FROM outbox").fetchone()
    records, size, oldest = waiting or (0, 0, None)
    classes = _classes(db, progress)
    return EdgeStatus(
        boot=meta.get("boot", b"").decode(),
        totals=progress.totals,
        classes={name: msgspec.structs.asdict(counts) for name, counts in classes.items()},
        balanced=_balances(progress.totals, classes),
        seq=progress.head.seq,
        outbox_records=int(records),
        outbox_bytes=int(size),
        oldest_unsent=None if oldest is None else int(oldest),
        commands_waiting=_count(db, "SELECT count(*) FROM commands WHERE status IN ('waiting', 'accepted')"),
        requests_waiting=_count(db, "SELECT count(*) FROM sample_requests WHERE status = 'waiting'"),
        devices=_count(db, "SELECT count(*) FROM devices"),
        series=_count(db, "SELECT count(*) FROM series"),
        alarms=_alarms(db),
        over_quota=progress.offenders,
        skewed=progress.skewed,
        quarantined_blocks=sum(span.last - span.first + 1 for span in progress.lost_blocks),
        lost_blocks=progress.lost_blocks,
        journal_bytes=sum(_size(file) for file in (data_dir / "journal").glob("journal-*")),
    )


def _classes(db: apsw.Connection, progress: Progress) -> dict[str, ClassCounts]:
    account = DeviceAccount(progress.account)
    for device, record in db.execute("SELECT id, record FROM devices WHERE record IS NOT NULL"):
        account.describe(int(device), msgspec.msgpack.decode(record, type=Record).attributes.hardware)
    return account.classes(progress.totals.counts())


def _balances(totals: Totals, classes: Mapping[str, ClassCounts]) -> bool:
    # Classes that do not add up are none.
    every = [totals.counts(), *classes.values()]
    return not any(counts.unaccounted() for counts in every) and bool(classes) == bool(totals.received)


def _alarms(db: apsw.Connection) -> list[Alarm]:
    return sorted(AlarmTable(db).load(), key=lambda alarm: -alarm.at)


def _count(db: apsw.Connection, query: str) -> int:
    row = db.execute(query).fetchone()
    return int(row[0]) if row else 0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # evicted meanwhile
        return 0
