"""A gateway's core without its shell: real files, time as an argument; and what its outbox says."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from edge_aggregator.aspects import Aspect, Aspects
from edge_aggregator.config import EdgeConfig
from edge_aggregator.core import Core
from edge_aggregator.decode.decoder import Taken
from edge_aggregator.flush import Moment
from edge_aggregator.receive.port import Message
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from ingest.contract.batch_wire import decode_batch
from ingest.contract.sketch import sketch
from ingest.contract.topics import ROLLUPS, device_topic
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.flush import Flushed
    from edge_aggregator.outbox.outbox import Waiting
    from ingest.contract.batch import RollupBatch
    from ingest.contract.details import Details

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

    def flush(self, now: int, listened: float = 0.0, *, cut_off: bool = False, turn: bool = False) -> Flushed | None:
        flush = self.core.flush_turn if turn else self.core.flush
        return flush(Moment(now, listened, now - 1, cut_off))

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


Detail = tuple[object, ...]
"""A sketch's buckets, increase and resets, or changes, led by its kind."""


def details_of(found: Details) -> dict[int, list[Detail]]:
    """By row: what a batch or rollups say beside the statistics, in a form to be compared."""
    by_row: dict[int, list[Detail]] = {}
    for place, row in enumerate(found.sketch_row.tolist()):
        one = found.sketches.take(np.array([place]))
        by_row.setdefault(row, []).append(("sketch", *(tuple(column.tolist()) for column in one)))
    for row, increase, resets in zip(
        found.counter_row.tolist(), found.increase.tolist(), found.resets.tolist(), strict=True
    ):
        by_row.setdefault(row, []).append(("counter", struct.pack("<d", increase), resets))
    for row, changes in zip(found.state_row.tolist(), found.changes.tolist(), strict=True):
        by_row.setdefault(row, []).append(("state", changes))
    return by_row


def naive_details(
    samples: Iterable[Sample], widths: Mapping[str, int], default: int, aspects: Aspects
) -> dict[Window, list[Detail]]:
    """The oracle: one loop over each series in time, of conflicting samples the greatest."""
    kept: dict[tuple[str, str, int], float] = {}
    for device, metric, ts, value in samples:
        kept[device, metric, ts] = max(value, kept.get((device, metric, ts), value))
    values: dict[Window, list[float]] = {}
    growth: dict[Window, tuple[float, int, int]] = {}
    last: dict[tuple[str, str], tuple[int, float]] = {}
    for (device, metric, ts), value in sorted(kept.items()):
        width = widths.get(metric, default)
        window = Window(device, metric, ts - ts % width, width)
        values.setdefault(window, []).append(value)
        increase, resets, changes = growth.get(window, (0.0, 0, 0))
        then, before = last.get((device, metric), (-(10**15), 0.0))
        if ts - then <= max(aspects.reach_ms, 2 * width):
            increase += value - before if value >= before else max(value, 0.0)
            resets, changes = resets + (value < before), changes + (value != before)
        growth[window] = (increase, resets, changes)
        last[device, metric] = (ts, value)
    found: dict[Window, list[Detail]] = {}
    for window, numbers in values.items():
        asked, (increase, resets, changes) = aspects.of(window.metric), growth[window]
        if asked & Aspect.QUANTILES:
            one = sketch(np.zeros(len(numbers), np.int64), np.array(numbers), 1)
            found.setdefault(window, []).append(("sketch", *(tuple(column.tolist()) for column in one)))
        if asked & Aspect.COUNTER:
            found.setdefault(window, []).append(("counter", struct.pack("<d", increase), resets))
        if asked & Aspect.STATE:
            found.setdefault(window, []).append(("state", changes))
    return found


def final_details(batches: Iterable[RollupBatch]) -> dict[Window, list[Detail]]:
    """What a store ends up with of details: of each window the highest revision's."""
    newest: dict[Window, tuple[int, list[Detail]]] = {}
    for batch in batches:
        by_row = details_of(batch.details)
        for row, (revision, window, _) in enumerate(rows(batch)):
            if revision >= newest.get(window, (0, []))[0]:
                newest[window] = (revision, by_row.get(row, []))
    return {window: found for window, (_, found) in newest.items() if found}
