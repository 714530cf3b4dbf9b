"""A gateway's core on a machine whose power can go, and what the log at the other end of its link does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compose.bench.crash.machine import CrashingStorage, Machine
from compose.bench.crash.phases import Activity
from edge_aggregator.config import EdgeConfig, MetricConfig
from edge_aggregator.core import Core
from edge_aggregator.decode.decoder import Taken
from edge_aggregator.flush import Moment
from edge_aggregator.rooms import open_rooms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compose.bench.crash.devices import Said
    from edge_aggregator.journal.merger import Merge
    from edge_aggregator.ledger import Totals
    from edge_aggregator.outbox.outbox import Waiting
    from ingest.contract.ledger import ClassCounts
    from ingest.runtime.telemetry import Telemetry

SMALL: dict[str, Any] = {
    "tenant": "acme",
    "site": "site-1",
    "gateway": "gw-1",
    "key_file": "none",
    "window_s": 10.0,
    "metrics": [MetricConfig(metric="m0", width_s=5.0)],
    "allowed_lateness_s": 30.0,
    "idle_close_s": 12.0,
    "heartbeat_s": 15.0,
    "lease_s": 1e6,
    "max_age_s": 1e6,
    "journal_file_bytes": 64 * 1024,
    "journal_bytes": 1024 * 1024,
    "journal_age_s": 160.0,
    "journal_merge_s": 15.0,
    "journal_merge_samples": 160,
}
"""Bounds so small that four minutes of samples rotate, merge and evict."""

ROOMY_OUTBOX = 1024 * 1024
BACKLOG_BYTES = 2048
WINDOWS_AT_ONCE = 8
"""A device's: a flush in which all of them close has several turns."""


class Gateway:
    """The core of a gateway. Every call raises PowerCutError when the power goes meanwhile."""

    def __init__(self, folder: Path, machine: Machine, telemetry: Telemetry, outbox_bytes: int) -> None:
        self._machine = machine
        config = EdgeConfig(data_dir=str(folder), outbox_bytes=ROOMY_OUTBOX, **SMALL)
        self._rooms = open_rooms(config, {}, CrashingStorage(machine))
        self.bound_outbox(outbox_bytes)
        self._rooms.windows_at_once = WINDOWS_AT_ONCE
        self._core = Core(self._rooms, telemetry)
        self._merge: Merge | None = None

    @property
    def totals(self) -> Totals:
        """The account."""
        return self._rooms.ledger.totals

    @property
    def classes(self) -> dict[str, ClassCounts]:
        """The account by class of devices."""
        return self._rooms.ledger.account.classes(self.totals.counts())

    @property
    def outbox_bytes(self) -> int:
        """How much waits."""
        return self._rooms.state.outbox.bytes

    def bound_outbox(self, most_bytes: int) -> None:
        """Another bound, as a reload of the configuration sets it."""
        self._rooms.room.configure(most_bytes=most_bytes)

    def commit(self, said: Sequence[Said], now: int) -> None:
        """Take messages: when this returns, they are acknowledged."""
        with self._machine.doing(Activity.COMMIT):
            self._core.commit([Taken(now, [one.message for one in said])])
        self._machine.commits += 1

    def step(self) -> None:
        """Take what was committed into the windows; what was packed beside that commit is written."""
        with self._machine.doing(Activity.COMMIT):
            self._core.step(0.0)
        if (merge := self._merge) is not None:
            self._merge = None
            with self._machine.doing(Activity.MERGE):
                self._core.end_merge(merge, merge.packed())

    def flush(self, now: int, activity: Activity = Activity.FLUSH) -> None:
        """Close windows, and keep to the outbox's bound."""
        with self._machine.doing(activity):
            self._core.flush(Moment(now, 0.0, now, cut_off=False), merging=False)
        with self._machine.doing(Activity.MERGE):
            self._merge = self._merge or self._core.begin_merge(now)

    def next(self) -> list[Waiting]:
        """What is sent next: news, then backlog in small pieces."""
        with self._machine.doing(Activity.FORWARD):
            return self._core.fresh() or self._core.backlog(BACKLOG_BYTES)

    def returned(self, waiting: Sequence[Waiting]) -> None:
        """The log gave no answer."""
        with self._machine.doing(Activity.FORWARD):
            self._core.returned(waiting)

    def sent(self, waiting: Sequence[Waiting]) -> None:
        """The log has them."""
        with self._machine.doing(Activity.FORWARD):
            self._core.sent(waiting)

    def close(self) -> None:
        """Let go of all files; without power nothing is written any more."""
        self._core.close()
