"""The topics of the embedded log: created once, then known by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.records import TopicPartition
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.log.sqlite.file import OFFSET_BITS
from ingest.runtime.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

    from ingest.contract.topics import TopicSettings


class Partition(NamedTuple):
    """One partition and its row id."""

    id: int
    place: TopicPartition

    def row(self, offset: int) -> int:
        """The row id of the record at `offset`."""
        return (self.id << OFFSET_BITS) | offset


class Topic(NamedTuple):
    """A topic as it was created; a negative `retention_ms` keeps records for ever."""

    name: str
    compacted: bool
    retention_ms: int
    partitions: tuple[Partition, ...]


class Topics:
    """The topics in the file. They are never altered or removed, so what was read once stays true."""

    def __init__(self) -> None:
        self._known: dict[str, Topic] = {}

    def create(self, db: apsw.Connection, wanted: Mapping[str, TopicSettings]) -> None:
        """Create those that are missing."""
        missing = {name: settings for name, settings in wanted.items() if name not in self._known}
        if not missing:
            return
        with transaction(db):
            for name, settings in missing.items():
                _create(db, name, settings)
        self._load(db)

    def find(self, db: apsw.Connection, name: str) -> Topic:
        """The topic of that name. Raises LogUnavailableError when there is none."""
        if name not in self._known:
            self._load(db)
        if name not in self._known:
            raise LogUnavailableError(f"topic {name!r} does not exist: tidegate ingest run makes it")
        return self._known[name]

    def partitions(self, db: apsw.Connection, names: Iterable[str]) -> list[Partition]:
        """All partitions of these topics. Raises LogUnavailableError when one does not exist."""
        return [partition for name in names for partition in self.find(db, name).partitions]

    def known(self) -> list[Topic]:
        """Those that were asked for or created so far."""
        return list(self._known.values())

    def _load(self, db: apsw.Connection) -> None:
        partitions: dict[str, list[Partition]] = {}
        for row, topic, part in db.execute("SELECT id, topic, part FROM partitions ORDER BY topic, part"):
            partitions.setdefault(topic, []).append(Partition(row, TopicPartition(topic, part)))
        for name, compacted, retention_ms in db.execute("SELECT name, compacted, retention_ms FROM topics"):
            self._known[name] = Topic(name, bool(compacted), retention_ms, tuple(partitions[name]))


def _create(db: apsw.Connection, name: str, settings: TopicSettings) -> None:
    db.execute(
        "INSERT INTO topics VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (name, settings.compacted, settings.retention_ms),
    )
    if db.changes():
        rows = [(name, part) for part in range(settings.partitions)]
        db.executemany("INSERT INTO partitions (topic, part) VALUES (?, ?)", rows)
