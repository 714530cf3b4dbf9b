"""A gateway at work until its journal is full, then killed: `python -m compose.bench.start.fill PLAN` never returns.

What has filled the journal is written by the gateway's own rooms (journal, windows, outbox, checkpoint) from columns that
are made here, because reading a quarter of a billion samples as JSON would take most of an hour. The last `tail_s`
seconds, all that a start has to read again, come as messages and take the whole way. Values have 52 random bits, so that
they do not compress: a full journal of the mix is many days, and no other to a start.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from compose.bench.gateway import bench_config
from compose.bench.ready_columns import take_columns
from compose.bench.start.kept import USUAL, keep
from edge_aggregator.core import Core
from edge_aggregator.decode.decoded import Decoded, Notes, Samples
from edge_aggregator.decode.decoder import Taken
from edge_aggregator.flush import Moment
from edge_aggregator.receive.port import Message
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from ingest.contract.topics import device_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

METRICS = 10
HERTZ = 2
"""How often each device says something in the tail, in a second."""
COMMITS_PER_S = 10
_COMMIT_SAMPLES = 65_536
_PER_S = 2_000_000
_MOST_HERTZ = 500
_SECOND = 1000
_CLOCK = SystemClock()


class FillPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to leave behind in `place`.

    A flush every second. A second after the last one everything is kept as `USUAL`; then `unflushed` more messages a
    device are committed.
    """

    place: str
    devices: int
    journal_bytes: int
    file_bytes: int
    tail_s: int
    unflushed: int


def history_hertz(devices: int) -> int:
    """How often each device says something until the journal is full: quickly full, with few windows."""
    return max(1, min(_MOST_HERTZ, _PER_S // (devices * METRICS)))


class Fill:
    """One gateway in simulated time, which ends now."""

    def __init__(self, plan: FillPlan) -> None:
        self.plan = plan
        self.config = bench_config(
            Path(plan.place), 0, journal_bytes=plan.journal_bytes, journal_file_bytes=plan.file_bytes
        )
        self.rooms = open_rooms(self.config, {}, Storage())
        self.core = Core(self.rooms, Telemetry("bench"))
        self._rng = np.random.default_rng(1)
        self.samples = 0

    def run(self) -> None:
        """Fill, tell how much there is, and die."""
        now = _CLOCK.now_ms() - self._estimated_ms()
        self._messages(now)
        self._flush(now := now + _SECOND)
        while not self._is_full():
            self._columns(now)
            self._flush(now := now + _SECOND)
        for turn in range(self.plan.tail_s * HERTZ):
            if turn % HERTZ == 0:
                self._flush(now)
            self._messages(now := now + _SECOND // HERTZ)
        self._flush(now)
        for _ in range(HERTZ):
            self._messages(now := now + _SECOND // HERTZ)
        keep(Path(self.plan.place), USUAL)
        for turn in range(1, 1 + self.plan.unflushed):
            self._messages(now + turn)
        self._die()

    def _estimated_ms(self) -> int:
        hertz = history_hertz(self.plan.devices)
        return _SECOND * (self.plan.tail_s + self.plan.journal_bytes // (8 * self.plan.devices * METRICS * hertz))

    def _is_full(self) -> bool:
        # The oldest file has gone once: from now on it is as large as it ever will be.
        return self.rooms.journal.folder.firsts[0] > 1

    def _columns(self, now: int) -> None:
        series = np.arange(self.plan.devices * METRICS)
        hertz = history_hertz(self.plan.devices)
        ticks = now + np.arange(hertz) * _SECOND // hertz
        for times in np.array_split(ticks, max(1, len(series) * hertz // _COMMIT_SAMPLES)):
            for part in np.array_split(series, -(-len(series) // _COMMIT_SAMPLES)):
                if len(times):
                    self._commit_columns(part, times)

    def _commit_columns(self, series: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        values = self._rng.random(len(series) * len(times))
        samples = Samples(np.repeat(series, len(times)), np.tile(times, len(series)), values)
        heard = np.unique(series // METRICS).tolist()
        taken = int(times[-1])
        take_columns(self.rooms, Decoded(samples, Notes(taken=taken, heard=heard)), taken / _SECOND)
        self.samples += len(values)

    def _messages(self, now: int) -> None:
        for devices in np.array_split(np.arange(self.plan.devices), COMMITS_PER_S // HERTZ):
            self.core.commit([Taken(now, list(self._said(devices.tolist(), now)))])
            self.core.step(now / _SECOND)
            self.samples += len(devices) * METRICS

    def _said(self, devices: Sequence[int], now: int) -> Iterator[Message]:
        values = self._rng.random((len(devices), METRICS)).tolist()
        for device, row in zip(devices, values, strict=True):
            body = ",".join(f'"metric-{number}":{value!r}' for number, value in enumerate(row))
            payload = f'{{"ts":{now},"metrics":{{{body}}}}}'.encode()
            yield Message(device_topic(self.config.site, f"device-{device:05d}", "telemetry"), payload, retain=False)

    def _flush(self, now: int) -> None:
        self.core.flush(Moment(now, now / _SECOND, now - 1, cut_off=False))
        while waiting := self.core.head():
            self.core.sent(waiting)

    def _die(self) -> None:
        folder = self.rooms.journal.folder
        told = {"samples": self.samples, "journal_bytes": folder.bytes(), "journal_files": len(folder.firsts)}
        print(msgspec.json.encode(told).decode(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Fill(msgspec.json.decode(sys.argv[1], type=FillPlan)).run()
