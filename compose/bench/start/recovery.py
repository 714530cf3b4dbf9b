"""The start's own work alone: `python -m compose.bench.start.recovery PLACE JOURNAL_BYTES FILE_BYTES` tells how long it takes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from compose.bench.gateway import bench_config
from edge_aggregator.core import Core
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from ingest.runtime.telemetry import Telemetry


def recovery(place: Path, journal_bytes: int, file_bytes: int) -> dict[str, float]:
    """Open the rooms of the gateway in `place` and recover; what that took and what there is now."""
    config = bench_config(place, 0, journal_bytes=journal_bytes, journal_file_bytes=file_bytes)
    begun, cpu = time.perf_counter(), time.process_time()
    rooms = open_rooms(config, {}, Storage())
    before, account = min(rooms.saved.processed, rooms.saved.needed - 1), rooms.ledger.totals
    Core(rooms, Telemetry("bench"))
    return {
        "recovery_s": time.perf_counter() - begun,
        "recovery_cpu_s": time.process_time() - cpu,
        "recovered_blocks": rooms.position - before,
        "recovered_samples": rooms.ledger.totals.received - account.received + account.open,
        "received": rooms.ledger.totals.received,
    }


if __name__ == "__main__":
    print(msgspec.json.encode(recovery(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))).decode())
