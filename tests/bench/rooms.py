"""How fast the single rooms are, in CPU time of one core: `make bench`. One JSON object, the last line.

These are figures of this machine at this moment, for comparing two states of the code; no promises.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from edge_aggregator.config import EdgeConfig
from edge_aggregator.core import Core
from edge_aggregator.decode.decoder import Taken
from edge_aggregator.receive.port import Message
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from ingest.contract.batch_wire import decode_batch, encode_batch
from ingest.runtime.secrets import generate_private_key
from ingest.runtime.store.line_protocol import encode_rows
from ingest.runtime.telemetry import Telemetry
from tests.detect_fleet import Fleet

MESSAGES, DEVICES, REPEATS = 20_000, 1_000, 3
NOW = 1_790_000_000_000


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of some repetitions: what the machine's other business adds is not the code's."""
    took = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def messages(turn: int) -> list[Message]:
    body = ",".join(f'"m{metric}":{20 + metric + turn / 7:.3f}' for metric in range(10))
    return [
        Message(
            f"tidegate/v1/north/device-{number % DEVICES}/telemetry",
            f'{{"ts":{NOW + turn * 60_000 + number},"metrics":{{{body}}}}}'.encode(),
            retain=False,
        )
        for number in range(MESSAGES)
    ]


def edge_microseconds_per_message(folder: Path) -> float:
    """Decoding, journal (fsynced) and windows, ten metrics a message."""
    generate_private_key(folder / "key.pem")
    config = EdgeConfig(
        tenant="acme", site="north", gateway="gw", key_file=str(folder / "key.pem"), data_dir=str(folder / "edge")
    )
    core = Core(open_rooms(config, {}, Storage()), Telemetry("bench"))
    turns = iter(range(100))

    def work() -> None:
        turn = next(turns)
        arrived = messages(turn)
        began = time.process_time()
        for at in range(0, MESSAGES, 2000):
            core.commit([Taken(NOW + turn * 60_000, arrived[at : at + 2000])])
            core.step(turn * 60.0)
        spent.append(time.process_time() - began)

    spent: list[float] = []
    for _ in range(REPEATS):
        work()
    core.close()
    return min(spent) / MESSAGES * 1e6


def main() -> None:
    fleet = Fleet(500, [f"m{metric}" for metric in range(10)])
    values = np.random.default_rng(1).normal(20, 1, (30, 500, 10))
    batches = list(fleet.batches(values))
    encoded = [encode_batch(batch) for batch in batches]
    rows = sum(len(batch) for batch in batches)
    with tempfile.TemporaryDirectory() as folder:
        edge = edge_microseconds_per_message(Path(folder))
    figures = {
        "edge_us_per_message": round(edge, 2),
        "decode_rows_per_s": round(rows / cpu_seconds(lambda: [decode_batch(value) for value in encoded])),
        "line_protocol_rows_per_s": round(
            rows / cpu_seconds(lambda: [encode_rows(batch, np.arange(len(batch))) for batch in batches])
        ),
        "detect_rows_per_s": round(rows / cpu_seconds(lambda: _detect(batches))),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def _detect(batches: list) -> None:
    engine = Engine(DetectConfig())
    for batch in batches:
        engine.step(batch)


if __name__ == "__main__":
    main()
