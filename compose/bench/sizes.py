"""Bytes per raw sample on the wire and in the journal: the gateway's own rooms, driven through simulated time.

The wire is what the Kafka client would send: signed records in record batches, compressed with zstd. The journal is
its folder once it is closed.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from edge_aggregator.config import EdgeConfig, milliseconds
from edge_aggregator.core import Core
from edge_aggregator.decode.decoder import Taken
from edge_aggregator.flush import Moment
from edge_aggregator.forward import Signer
from edge_aggregator.receive.port import Message
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from ingest.contract.batch_wire import decode_batch
from ingest.contract.topics import ROLLUPS
from ingest.runtime.log.kafka.appender import BATCH_BYTES
from ingest.runtime.secrets import generate_private_key
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from compose.bench.readings import Readings
    from ingest.contract.records import Outgoing

SITE = "bench"
_SECOND = 1_000
_ZSTD = 4  # the codec of a record batch


class Sizes(NamedTuple):
    """Bytes per raw sample."""

    wire: float
    journal: float


def sizes(readings: Readings, folder: Path, warm_s: int = 0) -> Sizes:
    """Take `readings` through a gateway, one commit and one flush a second.

    The wire is measured after the first `warm_s` seconds: before, every device announces itself, once and for all.
    """
    folder.mkdir(parents=True)
    key = generate_private_key(folder / "key.pem")
    config = EdgeConfig(
        tenant="bench",
        site=SITE,
        gateway="gateway",
        key_file=str(folder / "key.pem"),
        data_dir=str(folder / "data"),
        max_age_s=100 * 365 * 86_400.0,
    )
    signer = Signer(key, historical_after_ms=milliseconds(config.historical_after_s))
    core = Core(open_rooms(config, {}, Storage()), Telemetry("bench"))
    warm_until = int(readings.ts[0]) + warm_s * _SECOND
    wire = samples = 0
    for now, taken in _seconds(readings, config):
        records = _second(core, signer, now, taken)
        if now > warm_until:
            wire, samples = wire + sent_bytes(records), samples + _samples(records)
    core.close()
    journal = sum(path.stat().st_size for path in (folder / "data" / "journal").iterdir())
    return Sizes(wire / samples, journal / readings.samples())


def _seconds(readings: Readings, config: EdgeConfig) -> Iterable[tuple[int, list[Taken]]]:
    second = readings.ts // _SECOND
    edges = [0, *(np.flatnonzero(np.diff(second)) + 1).tolist(), len(second)]
    now = 0
    for first, last in pairwise(edges):
        now = (int(second[first]) + 1) * _SECOND
        part = readings.part(first, last)
        messages = [Message(*one, retain=False) for one in zip(part.topics(SITE), part.payloads(), strict=True)]
        yield now, [Taken(now, messages)]
    # Nothing more comes: the last windows close by the wall clock.
    for later in range(1, round(config.idle_close_s + config.window_s) + 2):
        yield now + later * _SECOND, []


def _samples(records: Sequence[Outgoing]) -> int:
    # Counted where they are: windows leave some seconds after their samples came.
    return sum(decode_batch(record.value or b"").ledger.net for record in records if record.topic == ROLLUPS)


def _second(core: Core, signer: Signer, now: int, taken: list[Taken]) -> list[Outgoing]:
    if taken:
        core.commit(taken)
        core.step(now / _SECOND)
    core.flush(Moment(now, now / _SECOND, now - 1, cut_off=False))
    records: list[Outgoing] = []
    while waiting := core.head():
        records += [signer.sign(one, now) for one in waiting]
        core.sent(waiting)
    return records


def sent_bytes(records: Sequence[Outgoing]) -> int:
    """The bytes of the record batches that carry `records`."""
    size = 0
    for _, same in groupby(sorted(records, key=lambda record: record.topic), lambda record: record.topic):
        builder = _builder()
        for number, record in enumerate(same):
            if builder.append(number, 0, record.key, record.value, list(record.headers)) is None:
                size += len(builder.build())
                builder = _builder()
                builder.append(0, 0, record.key, record.value, list(record.headers))
        size += len(builder.build())
    return size


def _builder() -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        magic=2,
        compression_type=_ZSTD,
        is_transactional=0,
        producer_id=1,
        producer_epoch=0,
        base_sequence=0,
        batch_size=BATCH_BYTES,
    )
