"""What a centre holds at the end: each batch once, of each window its highest revision, and the audit of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.batch_wire import BadBatchError, decode_batch
from ingest.contract.topics import ROLLUPS
from ingest.door.audit import Audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.contract.batch import RollupBatch
    from ingest.contract.records import Outgoing, Record

_COLUMNS = ("device", "metric", "start", "width", "revision", "count", "sum", "sumsq", "min", "max", "last")


class Window(NamedTuple):
    """One window of one series; ms."""

    start: int
    width: int


class Numbers(NamedTuple):
    """What a rollup says."""

    samples: int
    sum: float
    sumsq: float
    min: float
    max: float
    last: float


class Centre:
    """The log's far end. `complaints`: what no gateway may ever send.

    `revised`: whether a window was corrected; `degraded`: whether a batch stands for others in coarser form.
    """

    def __init__(self) -> None:
        self._values: dict[int, bytes] = {}
        self._taken: set[bytes] = set()
        self._revisions: dict[tuple[str, str], dict[Window, tuple[int, Numbers]]] = {}
        self.audit = Audit()
        self.told = 0
        self.revised = self.degraded = False
        self.complaints: list[str] = []

    def append(self, records: Iterable[Outgoing | Record]) -> None:
        """Take records as the log does: perhaps not for the first time."""
        for record in records:
            if record.topic == ROLLUPS and record.value is not None:
                self._take(record.value)

    def windows(self) -> dict[tuple[str, str], dict[Window, Numbers]]:
        """The windows that count, by (device, metric)."""
        return {
            series: {window: numbers for window, (_, numbers) in found.items()}
            for series, found in self._revisions.items()
        }

    def _take(self, value: bytes) -> None:
        if value in self._taken:
            return
        self._taken.add(value)
        try:
            batch = decode_batch(value)
        except BadBatchError as error:
            self.complaints.append(f"a batch that cannot be read: {error}")
            return
        if self._values.setdefault(batch.seq, value) is not value:
            self.complaints.append(f"batch {batch.seq} came twice and differs")
            return
        self.audit = self.audit.after(batch.ledger, batch.created)
        self.told += batch.ledger.net + batch.ledger.carried
        self.degraded = self.degraded or bool(batch.ledger.replaces)
        self._keep(batch)

    def _keep(self, batch: RollupBatch) -> None:
        columns = (batch.column(name).tolist() for name in _COLUMNS)
        for device, metric, start, width, revision, *numbers in zip(*columns, strict=True):
            self.revised = self.revised or revision > 0
            series = (batch.devices[device].device, batch.metrics[metric].name)
            kept, window = self._revisions.setdefault(series, {}), Window(start, width)
            if window in kept and kept[window][0] == revision:
                self.complaints.append(f"batch {batch.seq}: {series} {window} has revision {revision} twice")
            if window not in kept or kept[window][0] < revision:
                kept[window] = (revision, Numbers(*numbers))
