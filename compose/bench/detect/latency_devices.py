"""Devices that say something now and then over one connection, some of which go wrong at known times."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose.bench.flooder import connected
from edge_aggregator.receive.mqtt.publish import Publish
from edge_aggregator.receive.mqtt.wire import Version
from ingest.contract.topics import device_topic

if TYPE_CHECKING:
    from ingest.runtime.clock import Clock

SITE = "latency"
METRICS = 10
_IDS = 60_000
_TURN_S = 0.005
LEVEL = 40.0
"""Around which every series is, with a deviation of 1."""
_FAR = 60.0
_READ_BYTES = 1 << 16


class LatencyPlan(NamedTuple):
    """`devices` of ten series each, one message every `period_s`; windows of `window_s`.

    Before them `past` windows are written as if they had been, as many as a cohort of so many like devices waits before it
    speaks. After `learned` windows, in each of `waves` windows `wave` devices go wrong, for `lasting` windows each: those that speak
    first in the period, or, when `spread`, some of all of it.
    """

    devices: int = 10_000
    window_s: float = 10.0
    period_s: float = 5.0
    past: int = 0
    learned: int = 6
    waves: int = 6
    wave: int = 100
    lasting: int = 3
    seed: int = 5
    spread: bool = False

    @property
    def windows(self) -> int:
        """In all, with one to end."""
        return self.learned + self.waves + self.lasting + 1

    @property
    def faulty(self) -> int:
        """How many devices go wrong."""
        return self.waves * self.wave

    def wave_of(self, device: int) -> int:
        """In which wave a device goes wrong; -1 when it never does."""
        if not self.spread:
            return device // self.wave if device < self.faulty else -1
        rank, rest = divmod(device, self.devices // self.faulty)
        return rank % self.waves if rank < self.faulty and not rest else -1


class Devices:
    """All devices of the site; `closed` says when a device's sample that closes a window was sent.

    By (device, window), monotonic seconds; of the faulty devices only. Windows are numbered by their start over their width.
    """

    def __init__(self, plan: LatencyPlan, clock: Clock) -> None:
        self._plan, self._clock = plan, clock
        self._chance = np.random.default_rng(plan.seed)
        self._width_ms = round(plan.window_s * 1000)
        # Each has its own place in the period, so that the gateway has something to do all the time.
        self._phase = np.sort(self._chance.random(plan.devices)) * plan.period_s
        self._window = np.full(plan.devices, -1)
        self._first = 0
        self.closed: dict[tuple[int, int], float] = {}
        self.sent = 0

    async def run(self, port: int) -> None:
        """Say what is to be said, until the last window is over."""
        reader, writer = await connected(port, "devices")
        answers = asyncio.create_task(_discard(reader))
        try:
            # From the beginning of a window on, so that the waves fall into whole ones.
            await asyncio.sleep((self._width_ms - self._clock.now_ms() % self._width_ms) / 1000)
            self._first = self._clock.now_ms() // self._width_ms
            begun = self._clock.monotonic()
            while (spent := self._clock.monotonic() - begun) < self._plan.windows * self._plan.window_s:
                writer.write(b"".join(self._say(number) for number in self._due(spent)))
                await writer.drain()
                await asyncio.sleep(_TURN_S)
        finally:
            answers.cancel()
            writer.close()

    def is_wrong(self, device: int, window: int) -> bool:
        """Whether the device goes wrong in that window."""
        wave = self._plan.wave_of(device)
        begins = self._first + self._plan.learned + wave
        return wave >= 0 and begins <= window < begins + self._plan.lasting

    def _due(self, spent: float) -> range:
        # Who is to have spoken by now and has not, in the order of their places.
        laps, rest = divmod(spent, self._plan.period_s)
        wanted = int(laps) * self._plan.devices + int(np.searchsorted(self._phase, rest))
        return range(self.sent, wanted)

    def _say(self, number: int) -> bytes:
        device, now = number % self._plan.devices, self._clock.now_ms()
        window = now // self._width_ms
        if self._plan.wave_of(device) >= 0 and window > self._window[device]:
            self.closed[device, int(self._window[device])] = self._clock.monotonic()
            self._window[device] = window
        values = LEVEL + self._chance.normal(0, 1, METRICS)
        values[0] += _FAR * self.is_wrong(device, window)
        body = ",".join(f'"m{metric}":{value:.3f}' for metric, value in enumerate(values))
        self.sent += 1
        return Publish(
            topic=device_topic(SITE, f"device-{device}", "telemetry"),
            payload=f'{{"ts":{now},"metrics":{{{body}}}}}'.encode(),
            qos=1,
            packet_id=number % _IDS + 1,
        ).encode(Version.V311)


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(_READ_BYTES):
        pass
