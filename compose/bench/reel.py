"""PUBLISH packets made beforehand, so that feeding costs little: only what must differ is written anew into them.

Timestamps, packet identifiers and the two counters of the mix are fields of fixed width at known places; everything
else of a message repeats when the reel has run through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose.bench.mix import METRICS, mix
from edge_aggregator.receive.mqtt.wire import varint

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TS_DIGITS, _ENERGY_DIGITS, _UPTIME_DIGITS = 13, 8, 7
_ENERGY = [name for name, _ in METRICS].index("energy_wh")
_UPTIME = [name for name, _ in METRICS].index("uptime_s")
_JITTER_MS = 3
_QOS1 = 0x32
MOST_PACKET_ID = 65_535


class _Places(NamedTuple):
    """Where in a frame's bytes the fields of each message begin, shape (devices,) each; `begin` has one more."""

    begin: NDArray[np.int64]
    packet_id: NDArray[np.int64]
    ts: NDArray[np.int64]
    energy: NDArray[np.int64]
    uptime: NDArray[np.int64]


class _Frame(NamedTuple):
    """One message of every device. `energy` and `uptime` as first written; `jitter` ms that a timestamp is early."""

    data: bytearray
    at: _Places
    energy: NDArray[np.int64]
    uptime: NDArray[np.int64]
    jitter: NDArray[np.int64]


class Reel:
    """`frames` readings of `devices` devices of the mix at `site`, repeated for ever. `extra`: 1 for MQTT 5's properties."""

    def __init__(self, site: str, devices: int, frames: int, seed: int, *, extra: int) -> None:
        readings = mix(devices, frames, seed)
        by_device = np.argsort(readings.device, kind="stable").reshape(devices, frames)
        payloads, topics = readings.payloads(), readings.topics(site)
        jitter = np.random.default_rng(seed).integers(0, _JITTER_MS, (frames, devices))
        self._frames = [
            _frame(
                [topics[i] for i in by_device[:, number]],
                [payloads[i] for i in by_device[:, number]],
                readings.value[by_device[:, number]],
                jitter[number],
                extra,
            )
            for number in range(frames)
        ]
        first, last = self._frames[0], self._frames[-1]
        # So much further are the counters in every repetition.
        self._energy_lap = last.energy - first.energy + 1
        self._uptime_lap = last.uptime - first.uptime + 1
        self._number = self._done = self._lap = 0
        self._told = np.zeros(devices, np.int64)

    def take(self, most: int, now_ms: int, packet_id: int) -> tuple[memoryview, int]:
        """The bytes of the next messages, at most `most` of them, and how many; valid until the frame comes again."""
        frame = self._frames[self._number]
        here = slice(self._done, min(self._done + most, len(frame.energy)))
        count = here.stop - here.start
        data = np.frombuffer(frame.data, np.uint8)
        ids = (packet_id - 1 + np.arange(count)) % MOST_PACKET_ID + 1
        data[frame.at.packet_id[here]], data[frame.at.packet_id[here] + 1] = ids >> 8, ids & 255
        # A feeder that catches up would say two things of one device in one millisecond, and the second be a duplicate.
        self._told[here] = np.maximum(now_ms - frame.jitter[here], self._told[here] + 1)
        write_digits(data, frame.at.ts[here], self._told[here], _TS_DIGITS)
        if self._lap:
            energy, uptime = frame.energy + self._lap * self._energy_lap, frame.uptime + self._lap * self._uptime_lap
            write_digits(data, frame.at.energy[here], energy[here], _ENERGY_DIGITS)
            write_digits(data, frame.at.uptime[here], uptime[here], _UPTIME_DIGITS)
        begin, end = int(frame.at.begin[here.start]), int(frame.at.begin[here.stop])
        self._advance(count, len(frame.energy))
        return memoryview(frame.data)[begin:end], count

    def _advance(self, count: int, devices: int) -> None:
        self._done += count
        if self._done == devices:
            self._done, self._number = 0, self._number + 1
            if self._number == len(self._frames):
                self._number, self._lap = 0, self._lap + 1


def write_digits(data: NDArray[np.uint8], at: NDArray[np.int64], numbers: NDArray[np.int64], width: int) -> None:
    """Write decimal numbers of exactly `width` digits over the bytes that begin at `at`; both have shape (n,)."""
    left = numbers
    for place in range(width - 1, -1, -1):
        left, digit = np.divmod(left, 10)
        data[at + place] = digit + ord("0")


def _frame(
    topics: list[str], payloads: list[bytes], value: NDArray[np.float64], jitter: NDArray[np.int64], extra: int
) -> _Frame:
    data, places = bytearray(), []
    for topic, payload in zip(topics, payloads, strict=True):
        begin = len(data)
        head = len(topic).to_bytes(2) + topic.encode()
        body = head + b"\0\0" + bytes(extra) + payload
        data += bytes((_QOS1,)) + varint(len(body)) + body
        start = len(data) - len(payload)
        ids = start - extra - 2
        places.append((begin, ids, *(start + payload.index(mark) + len(mark) for mark in _MARKS)))
    columns = [np.array(column, np.int64) for column in zip(*places, strict=True)]
    at = _Places(np.append(columns[0], len(data)), *columns[1:])
    energy, uptime = value[:, _ENERGY].astype(np.int64), value[:, _UPTIME].astype(np.int64)
    return _Frame(data, at, energy, uptime, jitter)


_MARKS = (b'"ts":', b'"energy_wh":', b'"uptime_s":')
