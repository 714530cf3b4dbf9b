"""A simulated device without any I/O: what it measures, how it boots, leaks, crashes, installs and dies."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from compose.fleet.release import Registry

REBOOT_S = 2.0
INSTALL_S = 1.5
WATCHDOG_S = 2.0
OUT_OF_MEMORY_PERCENT = 95.0
DAY_S = 86_400.0


class Power(StrEnum):
    """Whether the device runs."""

    RUNNING = "running"
    DOWN = "down"
    BRICKED = "bricked"


class Happening(StrEnum):
    """What a step brought about."""

    CRASHED = "crashed"
    WENT_DOWN = "went_down"
    BRICKED = "bricked"
    STARTS = "starts"  # power is back: the boot loader has the word, then `came_up` or `hung`


class DeviceModel:
    """One device; all times are seconds of the caller's clock, all randomness is the caller's."""

    def __init__(
        self, *, hardware: str, group: str, firmware: str, registry: Registry, random: random.Random, now: float
    ) -> None:
        self.hardware, self.group, self.firmware = hardware, group, firmware
        self.power = Power.RUNNING
        self.boots = 0
        self._registry, self._random = registry, random
        self._booted_at, self._up_again_at = now, 0.0
        self._working_since: float | None = now
        self._memory_base = random.uniform(30, 45)
        self._temperature_base = random.uniform(35, 50)
        self._cpu_base = random.uniform(10, 30)
        self._boot_id()

    def step(self, now: float) -> Happening | None:
        """Let time pass until `now`; what happened, if anything."""
        if self.power is Power.DOWN and now >= self._up_again_at:
            return Happening.STARTS
        if self.power is Power.RUNNING and self._memory(now) >= OUT_OF_MEMORY_PERCENT:
            return self._crash(now)
        return None

    def go_down(self, now: float) -> Happening:
        """Restart, into whatever the boot loader chooses."""
        self.power, self._up_again_at = Power.DOWN, now + INSTALL_S
        return Happening.WENT_DOWN

    def came_up(self, firmware: str, now: float) -> None:
        """An image runs."""
        self.firmware, self.power, self._booted_at = firmware, Power.RUNNING, now
        self._working_since = None
        self.boots += 1
        self._boot_id()

    def work(self, now: float) -> None:
        """Do what the device is for: only then a release's faults show. On trial it does nothing but its health check."""
        self._working_since = now

    @property
    def works(self) -> bool:
        """Whether there is something to measure."""
        return self.power is Power.RUNNING and self._working_since is not None

    def hung(self, now: float) -> None:
        """The image does nothing: the watchdog resets the device."""
        self.power, self._up_again_at = Power.DOWN, now + WATCHDOG_S

    def running_s(self, now: float) -> float:
        """Seconds since the image came up."""
        return now - self._booted_at

    def metrics(self, now: float) -> dict[str, float]:
        """What the device measures at `now`."""
        noise = self._random.gauss
        swing = math.sin(2 * math.pi * now / DAY_S)
        return {
            "cpu_percent": round(max(0.0, self._cpu_base + noise(0, 1.5)), 2),
            "memory_percent": round(min(100.0, self._memory(now) + noise(0, 0.3)), 2),
            "temperature_c": round(self._temperature_base + 3 * swing + noise(0, 0.2), 2),
            "latency_ms": round(math.exp(noise(3.0, 0.15)), 2),
            "uptime_s": round(self.running_s(now), 1),
        }

    def _memory(self, now: float) -> float:
        leak = self._registry[self.firmware].leak_percent_per_s.get(self.hardware, 0.0)
        return self._memory_base + (0.0 if self._working_since is None else leak * (now - self._working_since))

    def _crash(self, now: float) -> Happening:
        if self._random.random() < self._registry[self.firmware].brick_share:
            self.power = Power.BRICKED
            return Happening.BRICKED
        self.power, self._up_again_at = Power.DOWN, now + REBOOT_S
        return Happening.CRASHED

    def _boot_id(self) -> None:
        self.boot = f"{self._random.getrandbits(64):016x}"
