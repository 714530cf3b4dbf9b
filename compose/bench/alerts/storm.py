"""A storm: so many series fall ill at once that each is a fault of its own; how many requests tell of all of them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.alerts.config import AlertsConfig
from analytics.alerts.receiver_config import WebhookConfig
from analytics.alerts.rules import METRIC_ANOMALY
from analytics.alerts.service import build_alerts
from analytics.surroundings import Surroundings
from compose.bench.alerts.pager import Pager
from ingest.contract.events import AnomalyEvent, AnomalyStatus
from ingest.contract.records import Outgoing
from ingest.contract.topics import ANOMALIES, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import write_secret
from ingest.runtime.service import run_until
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLOCK = SystemClock()
_AT = 1_790_553_600_000
_MIB = 1 << 20


class StormPlan(NamedTuple):
    """So many devices, each with a fault of its own, told to the alerts' stage `at_once` in a record's batch."""

    faults: int = 10_000
    at_once: int = 500
    patience_s: float = 300.0


WHOLE, QUICK = StormPlan(), StormPlan(faults=300, at_once=100, patience_s=120.0)


async def run_storm(parent: Path, plan: StormPlan) -> dict[str, float]:
    """Alerts' services on an embedded log: requests, seconds, CPU and the most memory that came on top."""
    with tempfile.TemporaryDirectory(dir=parent, prefix="bench-") as name:
        log = SqliteLog(Path(name) / "log.db", _CLOCK)
        try:
            await log.ensure_topics(every_topic())
            async with Pager(METRIC_ANOMALY, _CLOCK) as pager:
                return await _tell(Path(name), log, pager, plan)
        finally:
            await log.close()


async def _tell(folder: Path, log: SqliteLog, pager: Pager, plan: StormPlan) -> dict[str, float]:
    write_secret(folder / "secret", b"of the bench")
    webhook = WebhookConfig(name="on-call", url=f"http://127.0.0.1:{pager.port}", secret_file=str(folder / "secret"))
    within = Surroundings(_CLOCK, log, Health(), Telemetry("bench"), folder)
    services = build_alerts(AlertsConfig(webhooks=[webhook], notify_each=True), Gateways([]), within)
    stop = asyncio.Event()
    running = asyncio.create_task(run_until(services, stop))
    before, began, busy = _resident("VmRSS"), _CLOCK.monotonic(), time.process_time()
    _note_the_most()
    for records in _faults(plan):
        await log.append(records)
    with suppress(TimeoutError):
        async with asyncio.timeout(plan.patience_s):
            while len(pager.told) < plan.faults and not running.done():  # noqa: ASYNC110 - what arrives has no event
                await asyncio.sleep(0.05)
    took = max(pager.told.values(), default=began) - began
    stop.set()
    await running
    return {
        "storm_faults": plan.faults,
        "storm_told": len(pager.told),
        "storm_requests": pager.requests,
        "storm_s": round(took, 1),
        "storm_cpu_s": round(time.process_time() - busy, 1),
        "storm_peak_mib": round((_resident("VmHWM") - before) / _MIB, 1),
    }


def _faults(plan: StormPlan) -> Iterator[list[Outgoing]]:
    for first in range(0, plan.faults, plan.at_once):
        yield [_fault(number) for number in range(first, min(first + plan.at_once, plan.faults))]


def _fault(number: int) -> Outgoing:
    event = AnomalyEvent(
        tenant="bench",
        site=f"site-{number % 100}",
        device=f"device-{number}",
        metric=f"m{number % 37}",
        labels=(),
        status=AnomalyStatus.ENTERED,
        detector="robust_level",
        at=_AT,
        since=_AT,
        value=97.5,
        expected=41.0,
        scale=2.0,
        score=0.99,
        tail_probability=1e-9,
        firmware=f"2.{number % 11}.0",
        hardware=f"rev-{number % 5}",
    )
    return Outgoing(ANOMALIES, f"{event.site}/{event.device}".encode(), msgspec.json.encode(event))


def _note_the_most() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # from here on the kernel notes the most that is resident


def _resident(what: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) * 1024
