"""A whole simulated fleet: sites with like and unlike devices, all over MQTT."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from compose.fleet.agent import Address, Agent
from compose.fleet.device import Device
from compose.fleet.flash import FolderFlash
from compose.fleet.link import BrokerAddress
from compose.fleet.machine import Machine
from compose.fleet.model import DeviceModel, Power

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from compose.fleet.release import Registry
    from ingest.runtime.clock import Clock

HARDWARE = ("rev-a", "rev-b")
GROUPS = ("pumps", "fans")


class FleetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices there are: `per_site` at each site, half of them of each hardware, all on `firmware`."""

    tenant: str
    sites: Mapping[str, BrokerAddress]
    per_site: int
    firmware: str
    seed: int
    interval_s: float = 1.0


class Fleet:
    """Starts, watches and stops simulated devices and this very machine."""

    def __init__(
        self,
        plan: FleetPlan,
        *,
        registry: Registry,
        keys: Mapping[str, Ed25519PublicKey],
        folder: Path,
        clock: Clock,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.devices = [
            _device(plan, site, number, registry=registry, keys=keys, folder=folder, clock=clock)
            for site in plan.sites
            for number in range(plan.per_site)
        ]
        first_site, address = next(iter(plan.sites.items()))
        self.machine = Machine(site=first_site, address=address, clock=clock)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Switch everything on that is not bricked."""
        working = [device for device in self.devices if device.model.power is not Power.BRICKED]
        runs = [self.machine.run(), *(device.run() for device in working)]
        self._tasks = [asyncio.create_task(run) for run in runs]

    async def stop(self) -> None:
        """Switch everything off; every sample sent is acknowledged first. Raises what a device raised."""
        self.machine.stop()
        for device in self.devices:
            device.stop()
        await asyncio.gather(*self._tasks)

    def sent(self) -> int:
        """Samples handed to MQTT so far, repetitions included."""
        return self.machine.sent + sum(device.sent for device in self.devices)

    def firmware(self) -> dict[str, str]:
        """What each device itself says it runs."""
        return {f"{device.site}/{device.name}": device.model.firmware for device in self.devices}


def _device(
    plan: FleetPlan,
    site: str,
    number: int,
    *,
    registry: Registry,
    keys: Mapping[str, Ed25519PublicKey],
    folder: Path,
    clock: Clock,
) -> Device:
    chance = random.Random(f"{plan.seed}/{site}/{number}")
    name = f"{site}-{number:03d}"
    model = DeviceModel(
        hardware=HARDWARE[number % 2],
        group=GROUPS[number // 2 % 2],
        firmware=plan.firmware,
        registry=registry,
        random=chance,
        now=clock.monotonic() - chance.uniform(3600, 86_400),
    )
    flash = FolderFlash(folder, f"{site}.{name}")
    return Device(
        site=site,
        name=name,
        model=model,
        agent=Agent(Address(plan.tenant, site, name), keys, registry, flash),
        registry=registry,
        flash=flash,
        address=plan.sites[site],
        clock=clock,
        random=chance,
        interval_s=plan.interval_s,
        repeat_share=0.02 if number == 0 else 0.0,
        garbage_share=0.02 if number == 1 else 0.0,
    )
