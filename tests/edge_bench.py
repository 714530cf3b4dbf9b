"""A gateway's core without its shell: real files, time as an argument; and what its outbox says."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from edge_aggregator.config import EdgeConfig
from edge_aggregator.core import Core
from edge_aggregator.decode.decoder import Taken
from edge_aggregator.flush import Moment
from edge_aggregator.receive.port import Message
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from ingest.contract.batch_wire import decode_batch
from ingest.contract.topics import ROLLUPS, device_topic
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.outbox.outbox import Waiting
    from ingest.contract.batch import RollupBatch

T0 = 1_700_000_000_000
"""A multiple of 10 s, and the time at which all of these stories begin (ms)."""
SITE = "site-1"


class Sample(NamedTuple):
    """One number of one series."""

    device: str
    metric: str
    ts: int
    value: float


class Window(NamedTuple):
    """What identifies a rollup."""

    device: str
    metric: str
    start: int
    width: int


class Numbers(NamedTuple):
    """What a rollup says; compare `bits`."""

    count: int
    sum: float
    sumsq: float
    min: float
    max: float
    last: float

    def bits(self) -> bytes:
        return struct.pack("<q5d", *self)


def edge_config(folder: Path, **changes: Any) -> EdgeConfig:
    settings: dict[str, Any] = {
        "tenant": "acme",
        "site": SITE,
        "gateway": "gw-1",
        "key_file": str(folder / "gateway.pem"),
    }
    return EdgeConfig(**(settings | {"data_dir": str(folder / "edge")} | changes))


def message(sample: Sample) -> Message:
    payload = orjson.dumps({"ts": sample.ts, "metrics": {sample.metric: sample.value}})
    return Message(device_topic(SITE, sample.device, "telemetry"), payload, retain=False)


def telemetry(device: str, document: Any, *, retain: bool = False) -> Message:
    payload = document if isinstance(document, bytes) else orjson.dumps(document)
    return Message(device_topic(SITE, device, "telemetry"), payload, retain)


def state(device: str, *, retain: bool = False, **fields: Any) -> Message:
    return Message(device_topic(SITE, device, "state"), orjson.dumps({"state": "online"} | fields), retain)


class Bench:
    """One gateway; `restart` is a kill at the worst moment that still leaves the disk whole."""

    def __init__(
        self, config: EdgeConfig, keys: Mapping[str, Ed25519PublicKey] | None = None, storage: Storage | None = None
    ) -> None:
        self.config, self.keys, self.storage = config, keys or {}, storage or Storage()
        self._telemetry = Telemetry("test")
        self.open()

    def open(self) -> None:
        self.rooms = open_rooms(self.config, self.keys, self.storage)
        self.core = Core(self.rooms, self._telemetry)

    def restart(self) -> None:
        self.close()
        self.open()

    def close(self) -> None:
        self.core.close()

    def take(
        self, messages: Iterable[Message], at: int, listened: float = 0.0, *, oversized: tuple[str, ...] = ()
    ) -> None:
        self.core.commit([Taken(at, list(messages), oversized)])
        self.core.step(listened)

    def flush(self, now: int, listened: float = 0.0, *, cut_off: bool = False) -> None:
        self.core.flush(Moment(now, listened, now - 1, cut_off))

    def waiting(self) -> list[Waiting]:
        return list(self.rooms.state.outbox.every())

    def batches(self) -> list[RollupBatch]:
        """All batches in the outbox, each as the centre would decode it."""
        records = [waiting.record for waiting in self.waiting()]
        return [decode_batch(record.value) for record in records if record.topic == ROLLUPS and record.value]


def final_rollups(batches: Iterable[RollupBatch]) -> dict[Window, Numbers]:
    """What a store ends up with: of each window the highest revision; each revision comes once."""
    newest: dict[Window, tuple[int, Numbers]] = {}
    for batch in batches:
        for revision, window, numbers in rows(batch):
            before = newest.get(window, (-1, numbers))[0]
            assert revision == before + 1, f"{window}: revision {revision} after {before}"
            newest[window] = (revision, numbers)
    return {window: numbers for window, (_, numbers) in newest.items()}


def rows(batch: RollupBatch) -> Iterable[tuple[int, Window, Numbers]]:
    names = ("device", "metric", "start", "width", "count", "sum", "sumsq", "min", "max", "last", "revision")
    for device, metric, start, width, *numbers, revision in zip(
        *(batch.column(name).tolist() for name in names), strict=True
    ):
        window = Window(batch.devices[device].device, batch.metrics[metric].name, start, width)
        yield revision, window, Numbers(*numbers)


def naive_rollups(samples: Iterable[Sample], widths: Mapping[str, int], default: int) -> dict[Window, Numbers]:
    """The oracle: one loop, in (ts, value) order, of conflicting samples the greatest."""
    kept: dict[tuple[str, str, int], float] = {}
    for device, metric, ts, value in samples:
        kept[device, metric, ts] = max(value, kept.get((device, metric, ts), value))
    found: dict[Window, Numbers] = {}
    for (device, metric, ts), value in sorted(kept.items()):
        width = widths.get(metric, default)
        window = Window(device, metric, ts - ts % width, width)
        before = found.get(window, Numbers(0, 0.0, 0.0, value, value, value))
        found[window] = Numbers(
            before.count + 1,
            before.sum + value,
            before.sumsq + value * value,
            min(before.min, value),
            max(before.max, value),
            value,
        )
    return found


def check_ledger(batches: list[RollupBatch]) -> None:
    """Every entry balances, and each follows from the one before it."""
    previous = None
    for batch in batches:
        entry = batch.ledger
        assert entry.unaccounted() == 0
        if previous is not None:
            assert entry.seq == previous.seq + 1
            assert entry.previous == previous.digest()
        previous = entry
