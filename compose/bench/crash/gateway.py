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
    from edge_aggregator.ledger import Totals
    from edge_aggregator.outbox.outbox import Waiting
    from ingest.runtime.telemetry import Telemetry

SMALL: dict[str, Any] = {
    "tenant": "acme",
    "site": "site-1",
    "gateway": "gw-1",
    "key_file": "none",
    "window_s": 4.0,
    "metrics": [MetricConfig(metric="m0", width_s=10.0)],
    "allowed_lateness_s": 12.0,
    "idle_close_s": 6.0,
    "heartbeat_s": 4.0,
    "lease_s": 1e6,
    "max_age_s": 1e6,
    "journal_file_bytes": 64 * 1024,
    "journal_bytes": 1024 * 1024,
    "journal_age_s": 14.0,
    "outbox_bytes": 512 * 1024,
}
"""Bounds so small that a minute of samples rotates, evicts and degrades."""


class Gateway:
    """The core of a gateway. Every call raises PowerCutError when the power goes meanwhile."""

    def __init__(self, folder: Path, machine: Machine, telemetry: Telemetry) -> None:
        self._machine = machine
        self._rooms = open_rooms(EdgeConfig(data_dir=str(folder), **SMALL), {}, CrashingStorage(machine))
        self._core = Core(self._rooms, telemetry)

    @property
    def totals(self) -> Totals:
        """The account."""
        return self._rooms.ledger.totals

    def commit(self, said: Sequence[Said], now: int) -> None:
        """Take messages: when this returns, they are acknowledged."""
        with self._machine.doing(Activity.COMMIT):
            self._core.commit([Taken(now, [one.message for one in said])])
        self._machine.commits += 1

    def step(self) -> None:
        """Take what was committed into the windows."""
        with self._machine.doing(Activity.COMMIT):
            self._core.step(0.0)

    def flush(self, now: int) -> None:
        """Close windows."""
        with self._machine.doing(Activity.FLUSH):
            self._core.flush(Moment(now, 0.0, now, cut_off=False))

    def head(self) -> list[Waiting]:
        """What is sent next."""
        with self._machine.doing(Activity.FORWARD):
            return self._core.head()

    def sent(self, waiting: Sequence[Waiting]) -> None:
        """The log has them."""
        with self._machine.doing(Activity.FORWARD):
            self._core.sent(waiting)

    def close(self) -> None:
        """Let go of all files; without power nothing is written any more."""
        self._core.close()
