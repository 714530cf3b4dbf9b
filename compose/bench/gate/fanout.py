"""From the decision to roll back to the last signed command in the log that gateways read: one wave, no rate limit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollback.actuator import Decision, Purpose, Target
from analytics.rollback.mqtt_commands import MqttCommands
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from ingest.runtime.clock import Clock


async def measure(devices: int, folder: Path) -> float:
    """Seconds until the last of `devices` commands is signed, its counter kept, and it is durable in the embedded log."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="fanout-", dir=folder) as place:
        log = SqliteLog(Path(place) / "log.db", clock)
        await log.ensure_topics(every_topic())
        try:
            return await _publish(_decision(devices, clock), log, clock)
        finally:
            await log.close()


async def _publish(decision: Decision, log: SqliteLog, clock: Clock) -> float:
    actuator = MqttCommands(Ed25519PrivateKey.generate())
    begun = clock.monotonic()
    commands = actuator.carry_out(decision, decision.decided_at, None)
    actuator.snapshot()
    await log.append(commands)
    return round(clock.monotonic() - begun, 3)


def _decision(devices: int, clock: Clock) -> Decision:
    return Decision(
        rollout="fw",
        tenant="bench",
        purpose=Purpose.ROLLBACK,
        version="1",
        digest="sha256:" + "ab" * 32,
        decided_at=clock.now_ms(),
        expiry_s=86_400.0,
        targets=[Target(f"site-{n % 20}", f"device-{n}") for n in range(devices)],
    )
