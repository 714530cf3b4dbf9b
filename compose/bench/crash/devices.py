"""Simulated devices: they number what they say, remember what was acknowledged, and say again what was not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import orjson

from edge_aggregator.receive.port import Message
from ingest.contract.topics import device_topic

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

SITE = "site-1"
HARDWARE = {"d0": "rev-a", "d1": "rev-b"}
"""What devices say at first that they are; the others never say it."""
LATE_MS = 20_000
_VALUE_BITS = 22
_REPEATED = 12
_LATE, _AGAIN, _BAD = 0.06, 0.05, 0.1
_BAD_BYTES = (50, 500)


class Said(NamedTuple):
    """One message. `samples` maps metrics to values, `ts` in ms; `received`, how many samples the account counts for it."""

    device: str
    ts: int
    samples: dict[str, float]
    received: int
    message: Message


def by_class(counts: Iterable[tuple[str, int]]) -> Counter[str]:
    """Samples by hardware, from those of devices."""
    found = Counter[str]()
    for device, samples in counts:
        found[HARDWARE.get(device, "")] += samples
    return found


class Fleet:
    """Devices with equal metrics.

    Values are random whole numbers of 22 bits: every sum and sum of squares of a window is exact, whatever the order,
    so count, sum, sum of squares, minimum, maximum and last name the set of samples. None is of before `earliest` (ms).
    """

    def __init__(self, chance: random.Random, *, devices: int, metrics: int, earliest: int) -> None:
        self._chance, self._earliest = chance, earliest
        self._devices = [f"d{number}" for number in range(devices)]
        self._metrics = [f"m{number}" for number in range(metrics)]
        self._times: set[tuple[str, int]] = set()
        self._in_flight = [_introduced(device, HARDWARE[device]) for device in self._devices if device in HARDWARE]
        self.acknowledged: list[Said] = []

    def speak(self, now: int, *, late: bool = False) -> list[Said]:
        """What is sent now: what was not acknowledged first, then one message a device, some late, some said twice."""
        said = [
            self._say(device, now - self._lateness(surely=late and device == self._devices[0]))
            for device in self._devices
        ]
        if self._chance.random() < _BAD:
            said.append(self._say_badly(now))
        recent = [one for one in self.acknowledged[-_REPEATED:] if one.samples and one.ts > now - LATE_MS]
        said += [one for one in recent if self._chance.random() < _AGAIN]
        self._chance.shuffle(said)
        self._in_flight += said
        return self._in_flight

    def acknowledge(self) -> None:
        """Everything that was sent is acknowledged."""
        self.acknowledged += self._in_flight
        self._in_flight = []

    def everything(self) -> dict[tuple[str, str], dict[int, float]]:
        """All acknowledged samples, each once: value by ts, by (device, metric)."""
        found: dict[tuple[str, str], dict[int, float]] = {}
        for one in self.acknowledged:
            for metric, value in one.samples.items():
                found.setdefault((one.device, metric), {})[one.ts] = value
        return found

    def _lateness(self, *, surely: bool) -> int:
        if surely:
            return self._chance.randrange(LATE_MS * 3 // 4, LATE_MS)
        return self._chance.randrange(LATE_MS) if self._chance.random() < _LATE else 0

    def _say(self, device: str, ts: int) -> Said:
        ts = max(ts, self._earliest)
        while (device, ts) in self._times:
            ts += 1
        self._times.add((device, ts))
        samples = {metric: float(self._chance.getrandbits(_VALUE_BITS)) for metric in self._metrics}
        payload = orjson.dumps({"ts": ts, "metrics": samples})
        return Said(device, ts, samples, len(samples), _message(device, payload))

    def _say_badly(self, now: int) -> Said:
        device = self._chance.choice(self._devices)
        payload = self._chance.randbytes(self._chance.randrange(*_BAD_BYTES))
        # One that cannot be read counts as one sample.
        return Said(device, now, {}, 1, _message(device, b"\x00" + payload))


def _introduced(device: str, hardware: str) -> Said:
    payload = orjson.dumps({"state": "online", "hardware": hardware})
    return Said(device, 0, {}, 0, Message(device_topic(SITE, device, "state"), payload, retain=False))


def _message(device: str, payload: bytes) -> Message:
    return Message(device_topic(SITE, device, "telemetry"), payload, retain=False)
