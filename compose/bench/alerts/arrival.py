"""From the arrival of the sample that closes a window to the webhook: gateway, Kafka and analytics as they are shipped."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from compose.bench.alerts.pager import Pager
from compose.bench.detect.latency_devices import Devices, LatencyPlan
from compose.bench.detect.latency_processes import running, until_listening, until_ready, written
from compose.bench.load import BenchFailedError
from compose.stack.ports import free_port
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.secrets import write_secret

if TYPE_CHECKING:
    from pathlib import Path

    from compose.bench.load import Stand

RULE = "Hot"
WHOLE = LatencyPlan(devices=2_000, learned=1, waves=6, wave=50, lasting=1, spread=True)
QUICK = LatencyPlan(devices=50, window_s=2.0, period_s=1.0, learned=1, waves=2, wave=5, lasting=1, spread=True)
_CLOCK = SystemClock()
_PATIENCE_S = 20.0

_RULES = """\
[[rules]]
name = "Hot"
kind = "threshold"
metric = "m0"
above = 70.0
"""

_ALERTS = """\
[analytics.alerts]
rules_file = "{folder}/rules.toml"

[[analytics.alerts.webhooks]]
name = "on-call"
url = "http://127.0.0.1:{port}"
secret_file = "{folder}/secret"

"""


async def measure_arrival(plan: LatencyPlan, stand: Stand) -> dict[str, float]:
    """Milliseconds from the sending of the closing sample to the webhook, of a rule without `for`. Raises BenchFailedError."""
    folder = stand.folder / "alerts"
    folder.mkdir()
    await stand.log.ensure_topics(every_topic())
    devices = Devices(plan, _CLOCK)
    async with Pager(RULE, _CLOCK) as pager:
        await _run(plan, folder, stand, devices, pager)
    return _figures(plan, devices, pager)


async def _run(plan: LatencyPlan, folder: Path, stand: Stand, devices: Devices, pager: Pager) -> None:
    port, observed = free_port(), free_port()
    (folder / "rules.toml").write_text(_RULES)
    write_secret(folder / "secret", b"of the bench")
    alerts = _ALERTS.format(folder=folder, port=pager.port)
    edge, analytics = written(plan, folder, stand, (port, observed), alerts)
    async with running("analytics", analytics), running("edge", edge):
        await until_ready(observed)
        await until_listening(port)
        await devices.run(port)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while len(pager.told) < plan.faulty:  # noqa: ASYNC110 - what arrives has no event
                    await asyncio.sleep(0.1)


def _figures(plan: LatencyPlan, devices: Devices, pager: Pager) -> dict[str, float]:
    # A device goes wrong in one window of its own: the sample after that window closes it.
    took = [
        pager.told[f"device-{n}"] - at
        for (n, window), at in devices.closed.items()
        if _is_told(n, window, devices, pager)
    ]
    if not took:
        raise BenchFailedError(f"none of {plan.faulty} devices that went wrong was told of")
    p50, p99 = np.percentile(np.array(took) * 1000, [50, 99])
    return {
        "alert_p99_ms": round(float(p99)),
        "alert_p50_ms": round(float(p50)),
        "alert_faults": plan.faulty,
        "alert_told": len(took),
        "alert_requests": pager.requests,
    }


def _is_told(device: int, window: int, devices: Devices, pager: Pager) -> bool:
    return devices.is_wrong(device, window) and f"device-{device}" in pager.told
