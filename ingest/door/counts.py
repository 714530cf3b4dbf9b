"""What the door counts, once per record and only when the turn that dealt with it is over."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ingest.contract.names import (
    DEAD_LETTERS,
    INGEST_BATCHES,
    INGEST_FORGOTTEN,
    INGEST_GAPS,
    INGEST_LEDGER_BROKEN,
    INGEST_ROWS,
    WORKER_LAG,
)
from ingest.contract.topics import ROLLUPS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ingest.contract.records import TopicPartition
    from ingest.door.book import Book
    from ingest.door.passage import Outcome
    from ingest.runtime.telemetry import Telemetry

ROWS = ("stored", "superseded", "removed", "refused")

Place = tuple[str, str]


class Counts:
    """The door's metrics."""

    def __init__(self, telemetry: Telemetry, worker: str) -> None:
        self._telemetry, self._worker = telemetry, worker
        self._shown: set[Place] = set()

    def outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Count what became of records; those that an earlier life had dealt with were counted by it."""
        for outcome in outcomes:
            if outcome.outcome != "known":
                self._telemetry.count(INGEST_BATCHES, outcome=outcome.outcome, reason=outcome.reason)
            if outcome.outcome == "dead":
                self._telemetry.count(DEAD_LETTERS, topic=ROLLUPS, reason=outcome.reason)
            for name in ROWS:
                self._telemetry.count(INGEST_ROWS, getattr(outcome, name), outcome=name)
            self._telemetry.count(INGEST_FORGOTTEN, outcome.forgotten)

    def accounts(self, book: Book, places: Collection[TopicPartition]) -> None:
        """Show gaps and breaches by tenant and site, of the partitions that are ours."""
        missing, breaches = book.missing(places), book.breaches(places)
        gone = self._shown - missing.keys()
        self._shown = set(missing)
        for counts, spec in ((missing, INGEST_GAPS), (breaches, INGEST_LEDGER_BROKEN)):
            for tenant, site in self._shown | gone:
                self._telemetry.gauge(spec, Counter(counts)[tenant, site], tenant=tenant, site=site)

    def lag(self, seconds: float) -> None:
        """Show the age of the newest record dealt with."""
        self._telemetry.gauge(WORKER_LAG, seconds, worker=self._worker)
