"""A simulated fleet that falls ill for known reasons: several at once, and single devices for no reason at all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.events import SILENCE, Signal, SignalKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T0 = 1_700_000_000_000
WINDOW_MS = 10_000
METRICS = ("memory", "temperature", "latency", "voltage", "cpu", "disk_wait")
HARDWARE, GROUPS = ("rev-a", "rev-b", "rev-c"), ("pumps", "valves", "meters", "fans")
FIRMWARE, FIRMWARE_SHARES = ("2.1.0", "2.2.0", "2.3.0"), (0.2, 0.6, 0.2)


class Device(NamedTuple):
    """A device and what it is."""

    name: str
    site: str
    group: str
    hardware: str
    firmware: str


class Cause(NamedTuple):
    """Why devices fall ill: those with `attributes`, a `share` of them, from `start` on over `spread` (ms), each for `lasts`.

    `metrics`: what shows it, the first one first, each `lag` (ms) after the one before. No attributes: any device.
    """

    name: str
    attributes: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    share: float
    start: int
    spread: int
    lasts: int
    lag: int = 20_000


class Ill(NamedTuple):
    """A series that falls ill; `cause` is the truth."""

    cause: str
    device: Device
    metric: str
    since: int
    until: int


class World:
    """A fleet and its history of some hours, by a seed."""

    def __init__(self, seed: int, devices: int = 2000, sites: int = 20, hours: float = 2.0) -> None:
        self._chance = random.Random(seed)
        self.end = T0 + round(hours * 3_600_000)
        names = [f"site-{n:02d}" for n in range(sites)]
        self.devices = [self._device(n, names) for n in range(devices)]

    def causes(self, number: int) -> list[Cause]:
        """So many causes of unlike kinds, at times that overlap."""
        kinds = [self._release, self._site, self._batch, self._switch, self._backend, self._canary]
        return [kind(n) for n, kind in enumerate(self._chance.sample(kinds, number))]

    def ill(self, causes: Sequence[Cause], singles_per_hour: float) -> list[Ill]:
        """All series that fall ill, by time."""
        found = [one for cause in causes for one in self._of(cause)]
        found += [one for number in range(self._poisson(singles_per_hour)) for one in self._single(number)]
        return sorted(found, key=lambda one: (one.since, one.device, one.metric))

    def _device(self, number: int, sites: Sequence[str]) -> Device:
        chance = self._chance
        site = chance.choices(sites, [1.0 / (1 + place) ** 0.5 for place in range(len(sites))])[
            0
        ]  # sites of unlike sizes
        return Device(
            f"d{number:05d}",
            site,
            chance.choice(GROUPS),
            chance.choices(HARDWARE, (0.5, 0.3, 0.2))[0],
            chance.choices(FIRMWARE, FIRMWARE_SHARES)[0],
        )

    def _release(self, number: int) -> Cause:
        """A release that leaks on one revision of the hardware."""
        attributes = (("hardware", self._chance.choice(HARDWARE)), ("firmware", self._chance.choice(FIRMWARE)))
        return self._cause(f"release-{number}", attributes, ("memory", "cpu"), 0.8, spread_s=1200)

    def _canary(self, number: int) -> Cause:
        """A release that is slow everywhere."""
        attributes = (("firmware", self._chance.choice(FIRMWARE)),)
        return self._cause(f"canary-{number}", attributes, ("disk_wait",), 0.3, spread_s=600)

    def _site(self, number: int) -> Cause:
        """A site whose power or cooling fails."""
        attributes = (("site", self._chance.choice(self.devices).site),)
        return self._cause(f"site-{number}", attributes, ("voltage", "temperature"), 0.9, spread_s=60)

    def _batch(self, number: int) -> Cause:
        """A group of which one revision wears out."""
        attributes = (("group", self._chance.choice(GROUPS)), ("hardware", self._chance.choice(HARDWARE)))
        return self._cause(f"batch-{number}", attributes, ("temperature",), 0.5, spread_s=900)

    def _switch(self, number: int) -> Cause:
        """A site whose switch fails: its devices fall silent."""
        attributes = (("site", self._chance.choice(self.devices).site),)
        return self._cause(f"switch-{number}", attributes, (SILENCE,), 1.0, spread_s=20)

    def _backend(self, number: int) -> Cause:
        """What all devices speak to is slow: nothing sets them apart."""
        return self._cause(f"backend-{number}", (), ("latency",), 0.2, spread_s=40)

    def _cause(
        self,
        name: str,
        attributes: tuple[tuple[str, str], ...],
        metrics: tuple[str, ...],
        share: float,
        *,
        spread_s: int,
    ) -> Cause:
        start = T0 + round(self._chance.uniform(600, 2400)) * 1000
        return Cause(name, attributes, metrics, share, start, spread_s * 1000, 3_000_000)

    def _of(self, cause: Cause) -> Iterator[Ill]:
        for device in self.devices:
            known = device._asdict()
            if all(known[name] == value for name, value in cause.attributes) and self._chance.random() < cause.share:
                since = _window(cause.start + self._chance.uniform(0, cause.spread))
                yield from self._series(cause.name, device, cause.metrics, since, cause)

    def _series(self, name: str, device: Device, metrics: Sequence[str], since: int, cause: Cause) -> Iterator[Ill]:
        for place, metric in enumerate(metrics):
            began = _window(since + place * cause.lag)
            yield Ill(name, device, metric, began, _window(began + cause.lasts))

    def _single(self, number: int) -> Iterator[Ill]:
        device, since = self._chance.choice(self.devices), T0 + round(self._chance.uniform(0, self.end - T0))
        metrics = self._chance.sample([*METRICS, SILENCE], self._chance.choice((1, 1, 1, 2, 3)))
        cause = Cause(
            f"single-{number}", (), tuple(metrics), 1.0, since, 0, round(self._chance.uniform(60, 1800)) * 1000
        )
        yield from self._series(cause.name, device, metrics, _window(since), cause)

    def _poisson(self, per_hour: float) -> int:
        expected, number, passed = per_hour * (self.end - T0) / 3_600_000, 0, 0.0
        while (passed := passed + self._chance.expovariate(1.0)) < expected:
            number += 1
        return number


def _window(at: float) -> int:
    return int(at // WINDOW_MS + 1) * WINDOW_MS


def presence(device: Device, at: int, *, silent: bool = False) -> Signal:
    """What a gateway says of a device."""
    return Signal(
        kind=SignalKind.DEVICE,
        site=device.site,
        device=device.name,
        at=at,
        since=at,
        active=silent,
        firmware=device.firmware,
        hardware=device.hardware,
        group=device.group,
    )


def signal_of(ill: Ill, *, active: bool) -> Signal:
    """What is said when a series falls ill, and when it has recovered."""
    at = ill.since if active else ill.until
    if ill.metric == SILENCE:
        return presence(ill.device, at, silent=active)
    return Signal(
        kind=SignalKind.ANOMALY,
        site=ill.device.site,
        device=ill.device.name,
        at=at,
        since=ill.since,
        active=active,
        metric=ill.metric,
        value=60.0,
        expected=40.0,
        scale=2.0,
        score=0.9,
        firmware=ill.device.firmware,
        hardware=ill.device.hardware,
        group=ill.device.group,
    )
