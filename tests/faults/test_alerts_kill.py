"""The alerts' process is killed again and again, at random moments, while its receiver is ill: nobody is forgotten."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from analytics.alerts.config import AlertsConfig, WebhookConfig
from ingest.contract.events import AnomalyStatus
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import write_secret
from tests.alert_inbox import Inbox, told_by
from tests.alert_world import Fleet, Gateway, anomaly
from tests.receivers import Answer, Request

DEADLINE_S = 60.0
ROUNDS = int(os.environ.get("TIDEGATE_PROVE_ROUNDS", "3"))
KILLS = 6
DEVICES = 6


class Scene:
    """A log, a receiver that is ill, and the process between them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.log, self.fleet = SqliteLog(folder / "log.db", SystemClock()), Fleet()
        self.inbox, self.well = Inbox(self._decide), False
        self.pid, self.expected = 0, 0

    async def open(self) -> None:
        await self.inbox.open()
        await self.log.ensure_topics(every_topic())
        write_secret(self.folder / "secret", b"fixed for the test")
        webhook = WebhookConfig(
            name="on-call",
            url=self.inbox.url,
            secret_file=str(self.folder / "secret"),
            timeout_s=0.2,
            most_wait_s=0.05,
        )
        config = AlertsConfig(webhooks=[webhook], group_wait_s=0.02, tick_s=0.01)
        (self.folder / "alerts.json").write_bytes(msgspec.json.encode(config))
        (self.folder / "gateways.json").write_bytes(msgspec.json.encode(list(self.fleet.gateways)))
        self._nurse = subprocess.Popen(
            [sys.executable, "-m", "tests.alert_process", str(self.folder)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def close(self) -> None:
        if self.pid:
            await self.kill()
        await asyncio.to_thread(self._nurse.communicate)
        await self.inbox.close()
        await self.log.close()

    async def start(self) -> None:
        self.pid = await self._ask("start")

    async def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert os.WTERMSIG(await self._ask("wait")) == signal.SIGKILL
        self.pid = 0

    async def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(await self._ask("wait")) == 0
        self.pid = 0

    async def report_for(self, seconds: float) -> None:
        """Devices and series that come and go, as long as this process lives."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self._report_once()
            await asyncio.sleep(self.chance.uniform(0.0, 0.02))

    async def until_told(self) -> dict[str, list[str]]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                told = await told_by(self.log)
                keys = {key for of_one in told.values() for key in of_one}
                if len(keys) == self.expected and keys <= self.inbox.taken_keys():
                    return told
                await asyncio.sleep(0.05)

    async def _ask(self, line: str) -> int:
        # Beside the event loop: the receiver goes on answering meanwhile.
        return await asyncio.to_thread(self._ask_nurse, line)

    def _ask_nurse(self, line: str) -> int:
        assert self._nurse.stdin is not None
        assert self._nurse.stdout is not None
        self._nurse.stdin.write(line + "\n")
        self._nurse.stdin.flush()
        return int(self._nurse.stdout.readline())

    def _decide(self, _: Request) -> Answer:
        if self.well:
            return Answer()
        return self.chance.choices(
            [Answer(), Answer(503), Answer(500, {"Retry-After": "0"}), Answer(how="hang_up"), Answer(how="hang")],
            [6, 2, 1, 2, 1],
        )[0]

    async def _report_once(self) -> None:
        device, at = f"north-{self.chance.randrange(DEVICES):02d}", SystemClock().now_ms()
        gateway, sick = self._gateway(), self._sick()
        is_series, key = self.chance.random() < 0.5, f"{device}"
        states = sick["series" if is_series else "silent"]
        if is_series:
            at = max(at, states.get("at", 0) + 1)  # a series is judged once for each window end
            states["at"] = at
        states[key] = not states.get(key, False)
        if is_series:
            status = AnomalyStatus.ENTERED if states[key] else AnomalyStatus.LEFT
            records = [anomaly(device, at, status)]
        else:
            records = [gateway.silent(device, at) if states[key] else gateway.returned(device, at)]
        # Now and then the source was killed too, and says it again.
        await self.log.append(records * self.chance.choice([1, 1, 1, 2]))
        self.expected += 1

    def _gateway(self) -> Gateway:
        if not hasattr(self, "_the_gateway"):
            self._the_gateway = Gateway(self.fleet)
        return self._the_gateway

    def _sick(self) -> dict[str, dict[str, int]]:
        if not hasattr(self, "_states"):
            self._states: dict[str, dict[str, int]] = {"series": {}, "silent": {}}
        return self._states


@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
async def test_killed_at_any_moment_every_firing_and_every_resolve_arrives_in_order(tmp_path: Path, seed: int) -> None:
    sys.stdout.write(f"seed {seed}\n")
    scene = Scene(tmp_path, seed)
    await scene.open()
    try:
        await scene.start()
        for _ in range(KILLS):
            await scene.report_for(scene.chance.uniform(0.02, 0.5))
            await scene.kill()
            await scene.start()
        scene.well = True
        told = await scene.until_told()
        await scene.stop()
    finally:
        await scene.close()
    scene.inbox.assert_in_order(told)
    assert len(told) > 1
    attempts = sum(len(one.alerts) for one in scene.inbox.delivered)
    sys.stdout.write(f"{scene.expected} changes arrived, in {attempts} attempts, over {KILLS} kills\n")
