"""From the arrival of the sample that closes a window to the alert: gateway, Kafka and analytics as they are shipped."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.detect.merge import Detector
from analytics.detect.waiting import waits
from compose.bench.detect.latency_devices import Devices
from compose.bench.detect.latency_past import Past, until_learned
from compose.bench.detect.latency_processes import running, until_listening, until_ready, written
from compose.bench.load import BenchFailedError
from compose.stack.ports import free_port
from ingest.contract.events import AlertEvent, AlertState, AnomalyEvent, AnomalyStatus
from ingest.contract.topics import ALERTS, ANOMALIES, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.secrets import load_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from compose.bench.detect.latency_devices import LatencyPlan
    from compose.bench.load import Stand
    from ingest.contract.records import Record

_PATIENCE_S = 15.0
_POLL_S = 0.02
_CLOCK = SystemClock()


class Heard:
    """When the alarm of each device was read first, in monotonic seconds, and the window that it was about."""

    def __init__(self, plan: LatencyPlan) -> None:
        self._window_ms, self._faulty = round(plan.window_s * 1000), plan.faulty
        self.all = asyncio.Event()
        self.anomaly: dict[int, tuple[float, int]] = {}
        self.alert: dict[int, float] = {}

    def take(self, record: Record, now: float) -> None:
        """An anomaly or alert that was read at `now`, in monotonic seconds."""
        if record.topic == ANOMALIES:
            event = msgspec.json.decode(record.value or b"{}", type=AnomalyEvent)
            if event.status is AnomalyStatus.ENTERED:
                self.anomaly.setdefault(_number(event.device), (now, event.at // self._window_ms - 1))
        elif record.value:
            alert = msgspec.json.decode(record.value, type=AlertEvent)
            if alert.state is AlertState.FIRING and "metric" in alert.labels:
                self.alert.setdefault(_number(alert.labels["device"]), now)
        if len(self.alert) >= self._faulty:
            self.all.set()


async def measure_latency(plan: LatencyPlan, stand: Stand) -> dict[str, float]:
    """Seconds from the sending of the closing sample, to the detector's event and to the alert's. Raises BenchFailedError."""
    folder, port, observed = stand.folder / "latency", free_port(), free_port()
    folder.mkdir()
    await stand.log.ensure_topics(every_topic())
    edge, analytics = written(plan, folder, stand, (port, observed))
    devices, heard = Devices(plan, _CLOCK), Heard(plan)
    async with running("analytics", analytics), running("edge", edge):
        await until_ready(observed)
        await until_listening(port)
        if plan.past:
            await _learn(plan, stand, folder, observed)
        listening = asyncio.create_task(_listen(stand, heard))
        await devices.run(port)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await heard.all.wait()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
    return figures_of(plan, devices, heard)


async def _learn(plan: LatencyPlan, stand: Stand, folder: Path, observed: int) -> None:
    past = Past(plan, load_private_key(folder / "gateway.pem"), _CLOCK.now_ms())
    await past.write(stand)
    await until_learned(observed, past.rows)


def figures_of(plan: LatencyPlan, devices: Devices, heard: Heard) -> dict[str, float]:
    """Raises BenchFailedError when nobody was told of."""
    both = sorted(set(heard.anomaly) & set(heard.alert))
    told = [device for device in both if devices.is_wrong(device, heard.anomaly[device][1])]
    if not told:
        raise BenchFailedError(_untold(plan, heard))
    closed = np.array([devices.closed[device, heard.anomaly[device][1]] for device in told])
    to_anomaly = np.array([heard.anomaly[device][0] for device in told]) - closed
    to_alert = np.array([heard.alert[device] for device in told]) - closed
    return {
        "alert_latency_p99_s": round(float(np.percentile(to_alert, 99)), 3),
        "alert_latency_p50_s": round(float(np.percentile(to_alert, 50)), 3),
        "anomaly_latency_p99_s": round(float(np.percentile(to_anomaly, 99)), 3),
        "anomaly_latency_p50_s": round(float(np.percentile(to_anomaly, 50)), 3),
        "latency_faults": plan.faulty,
        "latency_told": len(told),
        "latency_false": len(set(heard.anomaly) - set(range(plan.faulty))),
        "latency_messages": devices.sent,
    }


def _untold(plan: LatencyPlan, heard: Heard) -> str:
    wait = float(waits(np.array([plan.devices]), Detector.LEVEL)[0])
    return (
        f"none of {plan.faulty} devices that went wrong was told of: the detector named {len(heard.anomaly)} devices, alerts "
        f"{len(heard.alert)}; {plan.devices} like devices wait for {wait:.0f} windows beyond the first dozen, and "
        f"{plan.past} past and {plan.learned} live ones came before the first fault"
    )


async def _listen(stand: Stand, heard: Heard) -> None:
    consumer = await stand.log.subscribe([ANOMALIES, ALERTS], group=None, member="bench")
    try:
        while True:
            records = await consumer.poll(2_000, _POLL_S)
            now = _CLOCK.monotonic()
            for record in records:
                heard.take(record, now)
    finally:
        await consumer.close()


def _number(device: str) -> int:
    return int(device.rpartition("-")[2])
