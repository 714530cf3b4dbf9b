"""A receiver is away for an hour while thousands of alerts fire and end, and the process dies in the middle, again and again.

The hour passes on an injected clock, which real processes are given, too.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import pytest

from analytics.alerts import service
from analytics.alerts.config import AlertsConfig, FlapConfig
from analytics.alerts.notifier import GROUP_MOST, TemporarilyRefusedError
from analytics.alerts.receiver_config import WebhookConfig
from analytics.surroundings import Surroundings
from ingest.contract.events import AnomalyStatus
from ingest.contract.topics import every_topic
from ingest.runtime.clock import ManualClock, SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import write_secret
from ingest.runtime.service import run_until
from ingest.runtime.telemetry import Telemetry
from tests.alert_inbox import Inbox, assert_arrived_in_order, told_by
from tests.alert_nurse import AlertNurse
from tests.alert_process import shift_clock
from tests.alert_world import T0, Fleet, anomaly
from tests.receivers import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from analytics.alerts.notifier import Notification
    from ingest.contract.records import Outgoing
    from tests.receivers import Request

DEADLINE_S = 300.0
ROUNDS = min(100, int(os.environ.get("TIDEGATE_PROVE_ROUNDS", "1")))
IS_PROOF = ROUNDS > 1
ALERTS = 5_000 if IS_PROOF else 1_000
HOUR_S = 3_600
KILLS = 3


class Away:
    """A receiver that refuses everything for an hour; afterwards it takes all, and now and then its answer is not heard."""

    name, most_wait_s, group_most, is_tracker = "on-call", 60.0, GROUP_MOST, False

    def __init__(self, clock: ManualClock, fatal: set[int]) -> None:
        self._clock, self._fatal, self._back_at = clock, fatal, clock.now_ms() + 1000 * HOUR_S
        self.refused, self.dying = 0, asyncio.Event()
        self.taken: list[tuple[str, list[tuple[str, str]]]] = []

    async def send(self, notification: Notification) -> None:
        if self._clock.now_ms() < self._back_at:
            self.refused += 1
            raise TemporarilyRefusedError("away")
        alerts = [(alert.fingerprint, alert.idempotency_key()) for alert in notification.alerts]
        self.taken.append((notification.key, alerts))
        if len(self.taken) in self._fatal:
            self.dying.set()
            await asyncio.Event().wait()  # taken, and the process dies before it knows

    async def close(self) -> None:
        return

    def keys(self) -> set[str]:
        return {key for _, alerts in self.taken for _, key in alerts}


class Story:
    """One seed: series fall ill within the hour; most recover in it, the others afterwards."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._chance = folder, random.Random(seed)
        self.clock, self.log = ManualClock(T0), SqliteLog(folder / "log.db", SystemClock())
        groups = 2 * ALERTS // GROUP_MOST
        self.away = Away(self.clock, set(self._chance.sample(range(1, groups), KILLS)))
        self._kill_at = sorted(self._chance.uniform(0, HOUR_S) for _ in range(KILLS))
        self._open, self._next, self._number = [], 0, 0
        self.kills = 0

    async def run(self) -> dict[str, list[str]]:
        await self.log.ensure_topics(every_topic())
        async with asyncio.timeout(DEADLINE_S):
            while not await self._is_over():
                await self._live()
        return await told_by(self.log)

    async def close(self) -> None:
        await self.log.close()

    async def _live(self) -> None:
        """One life of the process: until it is killed, or everything was told."""
        config = AlertsConfig(notify_each=True, flapping=FlapConfig(times=0), repeat_s=0.0, tick_s=0.01)
        within = Surroundings(self.clock, self.log, Health(), Telemetry("alerts"), self._folder)
        life = asyncio.create_task(run_until(service.build_alerts(config, Fleet().gateways, within), asyncio.Event()))
        try:
            while not await self._is_over():
                if life.done():
                    await life  # it says what went wrong
                await self._go_on()
                if self._dies():
                    self.kills += 1
                    return
        finally:
            life.cancel()  # nothing is drained, nothing is committed any more
            with suppress(asyncio.CancelledError):
                await life

    async def _go_on(self) -> None:
        await self._report()
        self.clock.advance(self._chance.uniform(5, 60))
        await asyncio.sleep(0.01)

    async def _report(self) -> None:
        # All within the hour fall ill; afterwards who is still ill recovers.
        share = min(1.0, (self.clock.now_ms() - T0) / 1000 / HOUR_S)
        records = []
        while self._next < share * ALERTS:
            self._open.append(self._next)
            records.append(self._changed(self._next, AnomalyStatus.ENTERED))
            self._next += 1
        recovered = [one for one in self._open if self._chance.random() < (0.05 if share < 1 else 1.0)]
        records += [self._changed(one, AnomalyStatus.LEFT) for one in recovered]
        self._open = [one for one in self._open if one not in set(recovered)]
        if records:
            await self.log.append(records)

    def _changed(self, number: int, status: AnomalyStatus) -> Outgoing:
        self._number += 1
        return anomaly(f"d-{number}", T0 + self._number, status)

    def _dies(self) -> bool:
        if self.away.dying.is_set():
            self.away.dying.clear()
            return True
        is_time = bool(self._kill_at) and self.clock.now_ms() - T0 > 1000 * self._kill_at[0]
        if is_time:
            self._kill_at.pop(0)
        return is_time

    async def _is_over(self) -> bool:
        if self._next < ALERTS or self._open or len(self.away.keys()) < 2 * ALERTS:
            return False
        return not self.away.dying.is_set()


@pytest.fixture
def away_receivers(monkeypatch: pytest.MonkeyPatch) -> list[Away]:
    """What is in the list is who is told."""
    receivers: list[Away] = []
    monkeypatch.setattr(service, "build_receivers", lambda _config, _clock: list(receivers))
    return receivers


@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
async def test_away_for_an_hour_and_killed_in_the_middle(tmp_path: Path, seed: int, away_receivers: list[Away]) -> None:
    sys.stdout.write(f"seed {seed}\n")
    story = Story(tmp_path, seed)
    away_receivers.append(story.away)
    try:
        told = await story.run()
    finally:
        await story.close()
    assert sum(map(len, told.values())) == 2 * ALERTS
    assert story.kills == 2 * KILLS
    assert story.away.refused > 10
    assert_arrived_in_order(told, story.away.taken)
    sys.stdout.write(f"{2 * ALERTS} changes in {len(story.away.taken)} requests, over {story.kills} kills\n")


PROCESSES = 10 if IS_PROOF else 1
OF_PROCESSES = ALERTS if IS_PROOF else 300
STEPS = 12


class Ward:
    """The same with a real process, killed by SIGKILL, and a real receiver that answers 503 for an hour of the process' clock."""

    def __init__(self, folder: Path, seed: int, nurse: AlertNurse) -> None:
        self._folder, self._chance, self._nurse = folder, random.Random(seed), nurse
        self.log, self.inbox = SqliteLog(folder / "log.db", SystemClock()), Inbox(self._decide)
        self._is_away, self._number = True, 0

    async def open(self) -> None:
        await self.inbox.open()
        await self.log.ensure_topics(every_topic())
        secret = self._folder / "secret"
        write_secret(secret, b"fixed for the test")
        webhook = WebhookConfig(name="on-call", url=self.inbox.url, secret_file=str(secret), most_wait_s=0.3)
        config = AlertsConfig(
            webhooks=[webhook], notify_each=True, flapping=FlapConfig(times=0), repeat_s=0.0, tick_s=0.02
        )
        (self._folder / "alerts.json").write_bytes(msgspec.json.encode(config))
        (self._folder / "gateways.json").write_bytes(msgspec.json.encode(list(Fleet().gateways)))
        await self._nurse.start(self._folder)

    async def close(self) -> None:
        await self._nurse.end_if_alive()
        await self.inbox.close()
        await self.log.close()

    async def last_an_hour(self) -> None:
        """All fall ill, and every third recovers; the process dies at some of the steps."""
        dies = set(self._chance.sample(range(STEPS), KILLS))
        for step in range(STEPS):
            ill = range(step * OF_PROCESSES // STEPS, (step + 1) * OF_PROCESSES // STEPS)
            await self._report(AnomalyStatus.ENTERED, ill)
            await self._report(AnomalyStatus.LEFT, (one for one in ill if one % 3 == 0))
            shift_clock(self._folder, (step + 1) * HOUR_S * 1000 // STEPS)
            await asyncio.sleep(self._chance.uniform(0.0, 0.2))
            if step in dies:
                await self._die()

    async def end(self) -> dict[str, list[str]]:
        """The receiver is back, the rest recovers, and the process dies while it tells of it."""
        self._is_away = False
        await self._report(AnomalyStatus.LEFT, (one for one in range(OF_PROCESSES) if one % 3))
        for _ in range(KILLS):
            least = len(self.inbox.delivered) + self._chance.randint(1, 3)
            await self._until(lambda least=least: len(self.inbox.delivered) >= least or self._is_told())
            await self._die()
        await self._until(self._is_told)
        return await told_by(self.log)

    def _is_told(self) -> bool:
        return len(self.inbox.taken_keys()) >= 2 * OF_PROCESSES

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not reached():  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0.02)

    async def _die(self) -> None:
        assert os.WTERMSIG(await self._nurse.end(signal.SIGKILL)) == signal.SIGKILL
        await self._nurse.start(self._folder)

    async def _report(self, status: AnomalyStatus, numbers: Iterable[int]) -> None:
        records = []
        for number in numbers:
            self._number += 1
            records.append(anomaly(f"d-{number}", T0 + self._number, status))
        await self.log.append(records)

    def _decide(self, _: Request) -> Answer:
        return Answer(503 if self._is_away else 200)


@pytest.fixture(scope="module")
def nurse() -> Iterator[AlertNurse]:
    nurse = AlertNurse()
    yield nurse
    nurse.close()


@pytest.mark.parametrize("seed", range(1, PROCESSES + 1))
async def test_away_for_an_hour_with_a_real_process_that_is_killed(
    tmp_path: Path, seed: int, nurse: AlertNurse
) -> None:
    sys.stdout.write(f"seed {seed}\n")
    ward = Ward(tmp_path, seed, nurse)
    await ward.open()
    try:
        await ward.last_an_hour()
        told = await ward.end()
    finally:
        await ward.close()
    assert sum(map(len, told.values())) == 2 * OF_PROCESSES
    ward.inbox.assert_in_order(told)
