"""Everything that a process needs of its machine and of the servers that it talks to, whichever process it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compose.doctor.broker import look_at_broker
from compose.doctor.certificates import look_at_certificates
from compose.doctor.clocks import kernel_clock, look_at_clock
from compose.doctor.credentials import look_at_credentials
from compose.doctor.disk import look_at_disk, look_at_room
from compose.doctor.log import look_at_log
from compose.doctor.ports import look_at_ports
from compose.doctor.store import look_at_store
from compose.doctor.versions import look_at_versions
from compose.processes.config import AnalyticsProcess, EdgeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.doctor.finding import Finding
    from compose.processes.config import Process
    from ingest.runtime.clock import Clock


def examine(config: Process, clock: Clock) -> Iterator[Finding]:
    """One finding or more of each thing; changes nothing but a small file that it removes again."""
    yield look_at_versions()
    yield look_at_clock(kernel_clock())
    yield from look_at_credentials(config)
    yield from look_at_certificates(config, clock.now_ms())
    yield from look_at_ports(config)
    yield from _disks(config, clock)
    if isinstance(config, EdgeProcess):
        yield look_at_broker(config.edge.broker)
    yield look_at_log(config.log, clock)
    store = None if isinstance(config, EdgeProcess) else config.store
    if store is not None:
        yield from look_at_store(store, clock.now_ms)


def _disks(config: Process, clock: Clock) -> Iterator[Finding]:
    if isinstance(config, EdgeProcess):
        folder = Path(config.edge.data_dir)
        yield look_at_disk(folder, clock)
        yield look_at_room(folder, config.edge.journal_bytes + config.edge.outbox_bytes, "journal and outbox may take")
    elif isinstance(config, AnalyticsProcess):
        folder = Path(config.analytics.data_dir)
        yield look_at_disk(folder, clock)
        yield look_at_room(folder, 1 << 30, "state and alerts are well with")
