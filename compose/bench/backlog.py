"""A backlog as a gateway makes it that is cut from Kafka: its own rooms, driven through simulated time.

Every window goes the gateway's way: journal, windows, flush, outbox. Only the readings' JSON is left out: but for the
first ones, by which names become known, they are given as the columns that decoding would make of them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose.bench.mix import METRICS, mix
from compose.bench.ready_columns import take_columns
from edge_aggregator.config import milliseconds
from edge_aggregator.core import Core
from edge_aggregator.decode.decoded import Decoded, Notes, Samples
from edge_aggregator.decode.decoder import Taken
from edge_aggregator.flush import Moment
from edge_aggregator.names import SeriesName
from edge_aggregator.receive.port import Message
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from compose.bench.readings import Readings
    from compose.stack.steps import Say
    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.rooms import Rooms

_CHUNK_S = 300
_GROWTH = {"uptime_s": float(_CHUNK_S), "energy_wh": 3.0 * _CHUNK_S}
"""How much further counters are with every chunk, at least."""
_SAY_EVERY = 12
_SECOND = 1_000


class Outage(NamedTuple):
    """`devices` of the mix, each once a second for `seconds` up to `end_ms`, and no link."""

    devices: int
    seconds: int
    end_ms: int


class Backlog(NamedTuple):
    """What waits in the end, in batches and bytes; `begin_ms` is when its first window began; `merged`: coarser batches."""

    begin_ms: int
    end_ms: int
    records: int
    bytes: int
    merged: int


def write_backlog(config: EdgeConfig, outage: Outage, say: Say) -> Backlog:
    """Fill `config.data_dir`; one commit and one flush per window."""
    rooms = open_rooms(config, {}, Storage())
    writer = _Writer(rooms, config.site, outage.devices)
    width = milliseconds(config.window_s)
    begin = (outage.end_ms - outage.seconds * _SECOND) // width * width
    chunks = range(begin, begin + outage.seconds * _SECOND, _CHUNK_S * _SECOND)
    for number, start in enumerate(chunks):
        seconds = min(_CHUNK_S, (begin + outage.seconds * _SECOND - start) // _SECOND)
        readings = _later(mix(outage.devices, seconds, 1, start_ms=start), number)
        for now, part in _pieces(readings, width):
            writer.write(part, now, (now - begin) / _SECOND)
        if number % _SAY_EVERY == 0:
            say(
                f"hour {(start - begin) / 3_600_000:4.1f} of the outage: {rooms.state.outbox.bytes / 2**20:.0f} MiB wait"
            )
    outbox = rooms.state.outbox
    made = Backlog(begin, begin + outage.seconds * _SECOND, outbox.records, outbox.bytes, rooms.room.made["merged"])
    rooms.close()
    return made


class _Writer:
    """Takes readings as the gateway's thread does: as messages until every device is known, then as columns."""

    def __init__(self, rooms: Rooms, site: str, devices: int) -> None:
        self._rooms, self._core = rooms, Core(rooms, Telemetry("bench"))
        self._site, self._devices = site, devices
        self._ids: NDArray[np.int64] | None = None

    def write(self, readings: Readings, now: int, listened: float) -> None:
        if self._ids is None:
            messages = zip(readings.topics(self._site), readings.payloads(), strict=True)
            self._core.commit([Taken(now, [Message(*one, retain=False) for one in messages])])
            self._core.step(listened)
            self._ids = self._known()
        else:
            take_columns(self._rooms, _decoded(readings, self._ids, now), listened)
        self._core.flush(Moment(now, listened, now - 1, cut_off=False))

    def _known(self) -> NDArray[np.int64] | None:
        # The ids of all series, shape (devices, metrics), once all have been heard.
        names = self._rooms.names
        ids = np.full((self._devices, len(METRICS)), -1, np.int64)
        for device in range(self._devices):
            number = names.find_device(f"device-{device:05d}")
            if number is None:
                return None
            found = [names.find_series(SeriesName(number, metric)) for metric, _ in METRICS]
            ids[device] = np.array(found, np.int64)
        return ids


def _later(readings: Readings, chunk: int) -> Readings:
    # The same again, but counters go on: else every device would have rebooted.
    ahead = np.array([chunk * _GROWTH.get(metric, 0.0) for metric in readings.metrics])
    return readings._replace(value=readings.value + ahead)


def _decoded(readings: Readings, ids: NDArray[np.int64], now: int) -> Decoded:
    series = ids[readings.device].ravel()
    order = np.argsort(series, kind="stable")
    ts, value = np.repeat(readings.ts, ids.shape[1]), readings.value.ravel() + 0.0  # no -0.0
    return Decoded(Samples(series[order], ts[order], value[order]), Notes(taken=now, heard=list(range(len(ids)))))


def _pieces(readings: Readings, width: int) -> Iterator[tuple[int, Readings]]:
    # Cut a second behind the windows' edges: then every device has begun its next window, and the one before it closes.
    piece = (readings.ts - _SECOND) // width
    edges = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(piece)]
    for first, last in pairwise(edges):
        if last > first:
            yield (int(piece[first]) + 1) * width + _SECOND, readings.part(first, last)
