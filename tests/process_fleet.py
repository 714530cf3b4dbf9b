"""Devices for tests of whole systems: talkers that remember what was acknowledged, and a small fleet of like devices."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from compose.fleet.agent import Address, Agent
from compose.fleet.device import Device
from compose.fleet.flash import FolderFlash
from compose.fleet.model import DeviceModel, Happening
from compose.fleet.release import Registry, Release
from ingest.contract.topics import device_topic
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from compose.fleet.link import BrokerAddress

CLOCK = SystemClock()
OLD = Release(version="2.2.0")
BAD = Release(version="2.3.0", leak_percent_per_s={"rev-a": 150.0})
DOWN_S = 0.6


class Said(NamedTuple):
    """One sample of a talker."""

    device: str
    metric: str
    ts: int
    value: float


class Talker:
    """A real QoS 1 client that numbers its samples and remembers them; paho sends again what was not acknowledged."""

    def __init__(self, site: str, name: str, address: BrokerAddress, chance: random.Random | None = None) -> None:
        self.name, self._site, self._chance = name, site, chance or random.Random(name)
        self.said: list[Said] = []
        self.messages = 0
        self._acknowledged: set[int] = set()
        self._lock = threading.Lock()
        self._last = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.reconnect_delay_set(0.05, 0.3)  # type: ignore[arg-type]  # fractions do
        if address.username:
            self._client.username_pw_set(address.username, address.password)
        self._client.on_publish = self._on_publish
        self._client.connect_async(address.host, address.port)
        self._client.loop_start()

    def say(self, **metrics: float) -> None:
        """One message with a time of its own."""
        self._last = max(self._last + 1, CLOCK.now_ms())
        numbers = metrics or {"a": self._chance.uniform(-1e3, 1e3), "b": float(len(self.said))}
        self.send("telemetry", msgspec.json.encode({"ts": self._last, "metrics": numbers}))
        self.said += [Said(self.name, metric, self._last, value) for metric, value in numbers.items()]

    def send(self, channel: str, payload: bytes) -> None:
        """Any message on one of its own topics."""
        self.publish(device_topic(self._site, self.name, channel), payload)

    def publish(self, topic: str, payload: bytes) -> None:
        """Any message anywhere."""
        with self._lock:
            self._client.publish(topic, payload, qos=1)
            self.messages += 1

    def settled(self) -> bool:
        """Whether everything was acknowledged."""
        with self._lock:
            return len(self._acknowledged) == self.messages

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._acknowledged.add(mid)


class SmallFleet:
    """Like devices (one stratum) with the reference agent; `installs` are the versions that each has booted into."""

    def __init__(
        self,
        site: str,
        address: BrokerAddress,
        keys: Mapping[str, Ed25519PublicKey],
        folder: Path,
        *,
        tenant: str = "acme",
        number: int = 12,
        seed: int = 0,
        interval_s: float = 0.5,
        bad: Release = BAD,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.site, registry = site, Registry([OLD, bad])
        self.installs: dict[str, list[str]] = defaultdict(list)
        self.devices = [
            self._device(
                f"d{index:02d}",
                agent=Agent(
                    Address(tenant, site, f"d{index:02d}"), keys, registry, FolderFlash(folder, f"{site}.d{index:02d}")
                ),
                address=address,
                flash=FolderFlash(folder, f"{site}.d{index:02d}"),
                registry=registry,
                chance=random.Random(f"{seed}/{index}"),
                interval_s=interval_s,
            )
            for index in range(number)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(device.run()) for device in self.devices]

    async def stop(self) -> None:
        """Every sample sent is acknowledged first; raises what a device raised."""
        for device in self.devices:
            device.stop()
        await asyncio.gather(*self._tasks)

    def sent(self) -> int:
        return sum(device.sent for device in self.devices)

    def told(self) -> str:
        """How each device is."""
        lines = []
        for device, task in zip(self.devices, self._tasks, strict=True):
            ended = task.exception() if task.done() and not task.cancelled() else ""
            model = device.model
            lines.append(f"{device.name}: {model.power} {model.firmware} {self.installs[device.name]} {ended!r}")
        return "\n".join(lines)

    def _device(
        self,
        name: str,
        *,
        agent: Agent,
        address: BrokerAddress,
        flash: FolderFlash,
        registry: Registry,
        chance: random.Random,
        interval_s: float,
    ) -> Device:
        model = CountingModel(
            hardware="rev-a",
            group="pumps",
            firmware=OLD.version,
            registry=registry,
            random=chance,
            now=CLOCK.monotonic() - 3600,
        )
        model.installs = self.installs[name]
        return Device(
            site=self.site,
            name=name,
            model=model,
            agent=agent,
            registry=registry,
            flash=flash,
            address=address,
            clock=CLOCK,
            random=chance,
            interval_s=interval_s,
        )


class CountingModel(DeviceModel):
    """Remembers what it was made to install, and is soon back from whatever it does."""

    installs: list[str]

    def step(self, now: float) -> Happening | None:
        happening = super().step(now)
        if happening is Happening.CRASHED:
            self._up_again_at = now + DOWN_S
        return happening

    def go_down(self, now: float) -> Happening:
        happening = super().go_down(now)
        self._up_again_at = now + DOWN_S
        return happening

    def came_up(self, firmware: str, now: float) -> None:
        if firmware != self.firmware:
            self.installs.append(firmware)
        super().came_up(firmware, now)


def rollout_plan(site: str, **changes: Any) -> dict[str, Any]:
    """A rollout that fails after a few crashes among a dozen devices."""
    return {
        "rollout": "firmware-2.3.0",
        "release": BAD.version,
        "previous_release": OLD.version,
        "release_digest": BAD.digest(),
        "previous_digest": OLD.digest(),
        "selection": {"sites": [site], "groups": ["pumps"]},
        "guards": [{"name": "crash", "kind": "crash"}, {"name": "silence", "kind": "silence"}],
        "alpha": 0.3,
        "mode": "automatic",
        "install_grace_s": 15.0,
        "command_expiry_s": 120.0,
    } | changes
