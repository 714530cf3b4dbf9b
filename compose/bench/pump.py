"""Sends a reel over one socket at a rate, and takes the acknowledgements in."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

import numpy as np

from compose.bench.feed import FeedReport
from compose.bench.reel import MOST_PACKET_ID
from edge_aggregator.receive.mqtt.wire import frame_at
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from numpy.typing import NDArray

    from compose.bench.feed import FeedPlan
    from compose.bench.reel import Reel

_SLICE = 2_000
_READ = 256 * 1024
_PACE_S = 0.001
_LOOK_S = 1.0
_INTRODUCTION_S, _INTRODUCED_PER_S = 60.0, 5_000
_PUBACK = 0x4002
_PINGREQ, _PINGRESP = 0xC0, b"\xd0\0"


class Pump:
    """One feed over a connected socket; `beside` is called now and then, for whoever else is connected."""

    def __init__(
        self, sock: socket.socket, reel: Reel, plan: FeedPlan, in_flight: int, beside: Callable[[], None]
    ) -> None:
        self._sock, self._reel, self._plan, self._in_flight, self._beside = sock, reel, plan, in_flight, beside
        self._looked = 0.0
        self._clock = SystemClock()
        self._sent_at = np.zeros(MOST_PACKET_ID + 1)
        self._pending = memoryview(b"")
        self._rest = b""
        self._waits: list[NDArray[np.float64]] = []
        self._sent = self._acked = self._before = 0
        self._open = True

    def introduce(self) -> None:
        """Let every device say its `introductions`, and wait until they are acknowledged: they are not measured."""
        self._sock.setblocking(False)
        begun, wanted = time.monotonic(), self._plan.introductions * self._plan.devices
        while self._open and self._acked < wanted and time.monotonic() < begun + _INTRODUCTION_S:
            self._offer(min(int((time.monotonic() - begun) * _INTRODUCED_PER_S), wanted) - self._sent)
            self._turn()
        self._before = self._sent
        self._waits.clear()

    def run(self) -> FeedReport:
        """Feed, then wait for what is still to be acknowledged."""
        self._sock.setblocking(False)
        cpu, begun = time.process_time(), time.monotonic()
        ends = begun + self._plan.seconds
        while self._open and (now := time.monotonic()) < ends:
            self._offer(int((now - begun) * self._plan.rate) - self._measured() if self._plan.rate else _SLICE)
            self._turn()
            if now > self._looked + _LOOK_S:
                self._looked = now
                self._beside()
        while self._open and self._pending:
            self._turn()
        stopped, in_time = time.monotonic(), self._acked
        while self._open and self._acked < self._sent and time.monotonic() < stopped + self._plan.patience_s:
            self._turn()
        return self._report(stopped - begun, time.monotonic() - stopped, in_time, time.process_time() - cpu)

    def _measured(self) -> int:
        return self._sent - self._before

    def _offer(self, due: int) -> None:
        if self._pending:
            return
        room = self._in_flight - (self._sent - self._acked)
        wanted = min(due, room, _SLICE)
        if wanted > 0:
            packet_id = self._sent % MOST_PACKET_ID + 1
            self._pending, count = self._reel.take(wanted, self._clock.now_ms(), packet_id)
            ids = (self._sent + np.arange(count)) % MOST_PACKET_ID + 1
            self._sent_at[ids] = time.monotonic()
            self._sent += count

    def _turn(self) -> None:
        readable, writable, _ = select.select([self._sock], [self._sock] if self._pending else [], [], _PACE_S)
        try:
            if writable:
                self._pending = self._pending[self._sock.send(self._pending) :]
            if readable:
                self._take(self._sock.recv(_READ))
        except (ConnectionError, BrokenPipeError):
            self._open = False
        if not self._pending and not readable:
            time.sleep(_PACE_S)

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._open = False
            return
        data = self._rest + chunk
        whole = len(data) // 4 * 4
        words = np.frombuffer(data[:whole], ">u2").reshape(-1, 2)
        if (words[:, 0] == _PUBACK).all():
            self._rest = data[whole:]
            self._acknowledged(words[:, 1].astype(np.int64))
        else:
            self._rest = data[self._one_by_one(data) :]

    def _one_by_one(self, data: bytes) -> int:
        at = 0
        while (frame := frame_at(data, at)) and frame.end <= len(data):
            if data[at] == _PUBACK >> 8:
                self._acknowledged(np.array([int.from_bytes(data[frame.start : frame.start + 2])]))
            elif data[at] == _PINGREQ:
                self._sock.send(_PINGRESP)
            at = frame.end
        return at

    def _acknowledged(self, ids: NDArray[np.int64]) -> None:
        self._waits.append(time.monotonic() - self._sent_at[ids])
        self._acked += len(ids)

    def _report(self, seconds: float, drained_s: float, in_time: int, cpu_s: float) -> FeedReport:
        waits = np.concatenate([np.zeros(0), *self._waits]) * 1000
        median, late, worst = np.percentile(waits, (50, 99, 100)).tolist() if len(waits) else (-1.0,) * 3
        return FeedReport(
            sent=self._measured(),
            introduced=self._before,
            acked=self._acked - self._before,
            acked_in_time=in_time - self._before,
            seconds=seconds,
            drained_s=drained_s,
            ack_p50_ms=median,
            ack_p99_ms=late,
            ack_worst_ms=worst,
            cpu_s=cpu_s,
        )
