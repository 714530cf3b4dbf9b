"""The alerts' process is killed again and again, at random moments, while its receiver is ill: nobody is forgotten."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from analytics.alerts.config import AlertsConfig, FlapConfig
from analytics.alerts.receiver_config import WebhookConfig
from ingest.contract.events import AnomalyStatus
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import write_secret
from tests.alert_inbox import Inbox, told_by
from tests.alert_nurse import AlertNurse
from tests.alert_world import T0, Fleet, Gateway, anomaly
from tests.receivers import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.contract.records import Outgoing

DEADLINE_S = 180.0
ROUNDS = int(os.environ.get("TIDEGATE_PROVE_ROUNDS", "2"))
KILLS = 8
DEVICES = 6

ILLNESSES = [Answer(), Answer(503), Answer(500, {"Retry-After": "0"}), Answer(how="hang_up"), Answer(how="hang")]
WEIGHTS = [6, 2, 1, 2, 1]


@pytest.fixture(scope="module")
def nurse() -> Iterator[AlertNurse]:
    nurse = AlertNurse()
    yield nurse
    nurse.close()


class Trouble:
    """Series and devices that fall ill and recover; each record changes one alert."""

    def __init__(self, chance: random.Random) -> None:
        self.fleet, self.changes = Fleet(), 0
        self._chance, self._gateway, self._ill = chance, Gateway(self.fleet), set[str]()

    def next(self) -> Outgoing:
        self.changes += 1
        device, is_series = f"north-{self._chance.randrange(DEVICES):02d}", self._chance.random() < 0.5
        name, at = f"{device} {is_series}", T0 + self.changes
        self._ill ^= {name}
        if is_series:
            return anomaly(device, at, AnomalyStatus.ENTERED if name in self._ill else AnomalyStatus.LEFT)
        return self._gateway.silent(device, at) if name in self._ill else self._gateway.returned(device, at)


class Scene:
    """A log, a receiver that is ill, and the process between them."""

    def __init__(self, folder: Path, seed: int, nurse: AlertNurse) -> None:
        self._folder, self._chance, self._nurse = folder, random.Random(seed), nurse
        self.log, self.trouble = SqliteLog(folder / "log.db", SystemClock()), Trouble(self._chance)
        self.inbox, self._well = Inbox(self._decide), False

    async def open(self) -> None:
        await self.inbox.open()
        await self.log.ensure_topics(every_topic())
        secret = self._folder / "secret"
        write_secret(secret, b"fixed for the test")
        webhook = WebhookConfig(
            name="on-call", url=self.inbox.url, secret_file=str(secret), timeout_s=0.2, most_wait_s=0.05
        )
        config = AlertsConfig(
            webhooks=[webhook], group_wait_s=0.02, tick_s=0.01, notify_each=True, flapping=FlapConfig(times=0)
        )
        (self._folder / "alerts.json").write_bytes(msgspec.json.encode(config))
        (self._folder / "gateways.json").write_bytes(msgspec.json.encode(list(self.trouble.fleet.gateways)))
        await self._nurse.start(self._folder)

    async def close(self) -> None:
        await self._nurse.end_if_alive()
        await self.inbox.close()
        await self.log.close()

    async def survive(self, kills: int) -> None:
        """Things happen all the while; every other life ends while it begins, the others in the middle of delivering."""
        for kill in range(kills):
            least = len(self.inbox.delivered) + self._chance.randint(1, 8)
            await self._report(self._chance.randint(1, 10))
            async with asyncio.timeout(DEADLINE_S):
                while kill % 2 == 0 and len(self.inbox.delivered) < least:
                    await self._report(1)
            await asyncio.sleep(self._chance.uniform(0.0, 0.05))
            assert os.WTERMSIG(await self._nurse.end(signal.SIGKILL)) == signal.SIGKILL
            await self._nurse.start(self._folder)

    async def recover(self) -> dict[str, list[str]]:
        """The receiver is well; what the topic of alerts says once everything has arrived."""
        self._well = True
        told = await self._until_all_is_told()
        assert os.waitstatus_to_exitcode(await self._nurse.end(signal.SIGTERM)) == 0
        return told

    async def _until_all_is_told(self) -> dict[str, list[str]]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                told = await told_by(self.log)
                keys = {key for of_one in told.values() for key in of_one}
                if len(keys) == self.trouble.changes and keys <= self.inbox.taken_keys():
                    return told
                await asyncio.sleep(0.05)

    async def _report(self, changes: int) -> None:
        for _ in range(changes):
            # Now and then the source was killed too, and says it again.
            await self.log.append([self.trouble.next()] * self._chance.choice([1, 1, 1, 2]))
            await asyncio.sleep(self._chance.uniform(0.0, 0.03))

    def _decide(self, _: Request) -> Answer:
        return Answer() if self._well else self._chance.choices(ILLNESSES, WEIGHTS)[0]


@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
async def test_killed_at_any_moment_every_firing_and_every_resolve_arrives_in_order(
    tmp_path: Path, seed: int, nurse: AlertNurse
) -> None:
    sys.stdout.write(f"seed {seed}\n")
    scene = Scene(tmp_path, seed, nurse)
    await scene.open()
    try:
        await scene.survive(KILLS)
        told = await scene.recover()
    finally:
        await scene.close()
    scene.inbox.assert_in_order(told)
    attempts = sum(len(one.alerts) for one in scene.inbox.delivered)
    assert attempts > scene.trouble.changes
    sys.stdout.write(f"{scene.trouble.changes} changes arrived, in {attempts} attempts, over {KILLS} kills\n")
