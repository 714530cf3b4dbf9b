"""The machine this runs on, as a device: its own CPU, memory, disk, network and uptime."""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING

import msgspec
import psutil

from compose.fleet.link import BrokerAddress, DeviceLink
from ingest.contract.topics import NAME_PATTERN, device_topic

if TYPE_CHECKING:
    from ingest.runtime.clock import Clock


def machine_metrics(now_ms: int) -> dict[str, float]:
    """What psutil says now; bytes as running totals, times in seconds, shares in percent."""
    network, disk = psutil.net_io_counters(), psutil.disk_io_counters()
    return {
        "cpu_percent": psutil.cpu_percent(None),
        "memory_percent": psutil.virtual_memory().percent,
        "disk_percent": psutil.disk_usage("/").percent,
        "disk_read_bytes_total": float(disk.read_bytes if disk else 0),
        "disk_written_bytes_total": float(disk.write_bytes if disk else 0),
        "network_received_bytes_total": float(network.bytes_recv),
        "network_sent_bytes_total": float(network.bytes_sent),
        "uptime_s": round(now_ms / 1000 - psutil.boot_time(), 1),
    }


def machine_name() -> str:
    """This machine's host name, as far as it may name a device."""
    name = platform.node().split(".")[0]
    return name if NAME_PATTERN.fullmatch(name) else "this-machine"


class Machine:
    """Reports this machine until stopped. `sent` counts samples."""

    def __init__(self, *, site: str, address: BrokerAddress, clock: Clock, interval_s: float = 1.0) -> None:
        self.site, self.name, self.sent = site, machine_name(), 0
        self._clock, self._interval_s = clock, interval_s
        self._link = DeviceLink(address, self.name, device_topic(site, self.name, "command"), lambda _payload: None)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `run` finish."""
        self._stopping.set()

    async def run(self) -> None:
        """Report every interval until stopped; may be run again."""
        self._stopping.clear()
        await asyncio.to_thread(self._link.connect)
        self._link.publish(device_topic(self.site, self.name, "state"), self._state(), retain=True)
        psutil.cpu_percent(None)  # the first reading has nothing to compare with
        while not self._stopping.is_set():
            await self._clock.sleep(self._interval_s)
            metrics = machine_metrics(self._clock.now_ms())
            payload = msgspec.json.encode({"ts": self._clock.now_ms(), "metrics": metrics})
            self._link.publish(device_topic(self.site, self.name, "telemetry"), payload)
            self.sent += len(metrics)
        while self._link.unacknowledged():
            await self._clock.sleep(0.02)
        await asyncio.to_thread(self._link.close)

    def _state(self) -> bytes:
        return msgspec.json.encode(
            {
                "state": "online",
                "firmware": platform.release(),
                "hardware": platform.machine(),
                "group": "machines",
                "boot": str(int(psutil.boot_time())),
            }
        )
