"""From the fleet's events to receivers that are away, slow or hostile: all arrive, in order, under equal keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import apsw
import pytest

from analytics.alerts.config import RuleConfig
from analytics.alerts.outbox import Outbox
from analytics.alerts.outbox_desk import Desk
from analytics.alerts.receiver_config import AlertmanagerConfig, HeartbeatConfig, WebhookConfig
from ingest.contract.events import AnomalyStatus
from ingest.contract.records import Outgoing
from ingest.contract.topics import ALERTS, every_topic
from ingest.runtime.secrets import SecretError, write_secret
from ingest.runtime.service import ServiceFailedError
from tests.alert_house import House
from tests.alert_inbox import Inbox, told_by
from tests.alert_world import TRACE
from tests.receivers import DEADLINE_S, Answer, Receiver, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LEFT, ENTERED = AnomalyStatus.LEFT, AnomalyStatus.ENTERED


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.log.ensure_topics(every_topic())
    yield house
    await house.log.close()


async def test_a_receiver_that_was_away_gets_everything_in_order_also_over_restarts(house: House) -> None:
    devices = [f"d-{n}" for n in range(8)]
    async with Inbox() as inbox:
        await inbox.close()
        webhook = house.webhook(inbox)
        for life in range(3):
            async with house.running(webhooks=[webhook]):
                await house.report(ENTERED, *devices)
                await house.report(LEFT, *devices[: 4 + life])
                await house.report(ENTERED, *devices[:2])
                waits = 14 + 2 * life if not life else 1
                await house.until(lambda n=waits: house.metric("tidegate_alert_outbox", receiver="on-call") >= n)
                assert "ConnectError" in house.health.reasons()["receiver on-call"]
        async with house.running(webhooks=[webhook]):
            await inbox.open()
            await _all_told(house, inbox)
            await house.until(lambda: not house.health.reasons())
        assert house.metric("tidegate_alert_outbox", receiver="on-call") == 0
        assert house.metric("tidegate_alert_deliveries_total", receiver="on-call", outcome="retried") > 0


async def _all_told(house: House, inbox: Inbox) -> None:
    async with asyncio.timeout(DEADLINE_S):
        told = await told_by(house.log)
        while not {key for keys in told.values() for key in keys} <= inbox.taken_keys():
            await asyncio.sleep(0.02)
            told = await told_by(house.log)
    assert told
    inbox.assert_in_order(told)


async def test_an_answer_that_is_lost_leads_to_the_same_group_under_the_same_key(house: House) -> None:
    async with Inbox() as inbox:
        inbox.answers.clear()
        answers = [Answer(how="hang_up"), Answer(503), Answer()]
        inbox._decide = lambda _: answers.pop(0) if answers else Answer()
        async with house.running(webhooks=[house.webhook(inbox)]):
            await house.report(ENTERED, "a", "b", trace=TRACE)
            await inbox.until(lambda: len(inbox.delivered) == 3)
            await house.report(LEFT, "a")
            await inbox.until(lambda: len(inbox.delivered) == 4)
        first, second, third, fourth = inbox.delivered
        assert first[:3] == second[:3] == third[:3]
        assert fourth.key != first.key
        assert first.trace.split("-")[1] == TRACE.split("-")[1]


async def test_a_storm_arrives_in_few_requests(house: House) -> None:
    async with Inbox() as inbox:
        async with house.running(webhooks=[house.webhook(inbox)], group_wait_s=0.3):
            await house.report(ENTERED, *(f"d-{n:03d}" for n in range(250)))
            await inbox.until(lambda: len(inbox.devices()) == 250)
        assert len(inbox.delivered) < 25


async def test_one_alert_that_the_receiver_cannot_take_holds_up_no_other(house: House) -> None:
    def stumbles(request: Request) -> Answer:
        return Answer(500 if b'"bad"' in request.body else 200)

    async with Inbox(stumbles) as inbox, house.running(webhooks=[house.webhook(inbox)], group_wait_s=0.0):
        await house.report(ENTERED, "bad")
        await inbox.until(lambda: len(inbox.delivered) >= 2)
        for n in range(5):
            await house.report(ENTERED, f"good-{n}")
            await inbox.until(lambda n=n: f"good-{n}" in inbox.devices())
        assert inbox.devices() == {f"good-{n}" for n in range(5)}


async def test_one_alert_that_is_refused_for_good_takes_no_other_with_it(house: House) -> None:
    def refuses(request: Request) -> Answer:
        return Answer(400 if b'"bad"' in request.body else 200, body=b"cannot take that")

    async with Inbox(refuses) as inbox, house.running(webhooks=[house.webhook(inbox)]):
        await house.report(ENTERED, "good-1", "bad", "good-2")
        await inbox.until(lambda: inbox.devices() == {"good-1", "good-2"})
        refused = "tidegate_alert_deliveries_total"
        await house.until(lambda: house.metric(refused, receiver="on-call", outcome="refused") == 1)
    desk = Desk(house.folder / "deliveries.db")
    (dead,) = desk.rows(outcome="dead")
    desk.close()
    assert (dead.receiver, dead.detail) == ("on-call", "answered 400: cannot take that")


async def test_a_receiver_that_hangs_holds_up_no_other(house: House) -> None:
    async with Receiver(lambda _: Answer(how="hang")) as hanging, Inbox() as inbox:
        webhooks = [house.webhook(hanging, "hanging", timeout_s=1.0), house.webhook(inbox)]
        async with house.running(webhooks=webhooks):
            for n in range(3):
                await house.report(ENTERED, f"d-{n}")
                await inbox.until(lambda n=n: f"d-{n}" in inbox.devices())
            await house.until(lambda: "Timeout" in house.health.reasons().get("receiver hanging", ""))


async def test_a_disk_that_is_slow_does_not_hold_up_the_event_loop(house: House) -> None:
    async with Inbox() as inbox, house.running(webhooks=[house.webhook(inbox)]):
        await house.report(ENTERED, "first")
        await inbox.until(lambda: "first" in inbox.devices())
        other = apsw.Connection(str(house.folder / "deliveries.db"))
        other.set_busy_timeout(10_000)
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        await house.report(ENTERED, "second")
        for _ in range(100):
            await asyncio.sleep(0.005)
        assert "second" not in inbox.devices()
        other.execute("ROLLBACK")
        other.close()
        await inbox.until(lambda: "second" in inbox.devices())


async def test_what_a_full_disk_could_not_take_comes_with_the_next_life(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(Outbox):
        def queue(self, *_: object) -> None:
            raise apsw.FullError("database or disk is full")

    async def live_until_it_is_full(webhook: WebhookConfig) -> None:
        async with house.running(webhooks=[webhook]) as running:
            await house.report(ENTERED, "a")
            await asyncio.wait({running}, timeout=DEADLINE_S)

    async with Inbox() as inbox:
        with monkeypatch.context() as patched:
            patched.setattr("analytics.alerts.service.Outbox", FullDisk)
            with pytest.raises(ServiceFailedError, match=r"alert delivery ended by itself: .*disk is full"):
                await live_until_it_is_full(house.webhook(inbox))
        async with house.running(webhooks=[house.webhook(inbox)]):
            await _all_told(house, inbox)
        assert inbox.devices() == {"a"}


async def test_alertmanager_is_told_again_while_it_fires_and_when_it_has_ended(house: House) -> None:
    async with Receiver() as receiver:
        manager = AlertmanagerConfig(name="am", urls=[receiver.url], resend_s=0.05)
        async with house.running(alertmanagers=[manager], metric_anomaly=RuleConfig(severity="error")):
            await house.report(ENTERED, "a", "b")
            await receiver.until(lambda: len(receiver.requests) >= 5)
            await house.report(LEFT, "a")
            await receiver.until(
                lambda: _ends(receiver.requests[-1]).get("a", "~") < _ends(receiver.requests[-1]).get("b", "")
            )
        seen = len(receiver.requests)
        async with house.running(alertmanagers=[manager]):  # another process tells it at once
            await receiver.until(lambda: len(receiver.requests) > seen)
        assert _ends(receiver.requests[-1]).keys() == {"a", "b"}
        assert {alert["labels"]["severity"] for alert in receiver.requests[-1].json()} == {"error"}
        ended = [_ends(request)["a"] for request in receiver.requests if "a" in _ends(request)]
        told = ended.index(min(ended))
        assert set(ended[told:]) == {ended[told]}  # once it has ended, nobody is told that it fires


def _ends(request: Request) -> dict[str, str]:
    return {alert["labels"]["device"]: alert["endsAt"] for alert in request.json()}


async def test_the_heartbeat_is_heard_while_alerts_are_taken_and_no_more_afterwards(house: House) -> None:
    async with Receiver() as pulse, Inbox() as inbox:
        heartbeat = HeartbeatConfig(url=pulse.url, every_s=0.05)
        async with house.running(webhooks=[house.webhook(inbox)], heartbeat=heartbeat):
            await house.report(ENTERED, "a")
            await inbox.until(lambda: "a" in inbox.devices())
            seen = len(pulse.requests)
            await pulse.until(lambda: len(pulse.requests) >= seen + 3)
        seen = len(pulse.requests)
        await asyncio.sleep(0.2)
        assert len(pulse.requests) == seen


async def test_what_is_no_alert_is_passed_over_and_counted(house: House) -> None:
    async with Inbox() as inbox, house.running(webhooks=[house.webhook(inbox)]):
        await house.log.append([Outgoing(ALERTS, b"k", b"no alert"), Outgoing(ALERTS, b"k", None)])
        await house.report(ENTERED, "a")
        await inbox.until(lambda: "a" in inbox.devices())
    assert house.metric("tidegate_dead_letters_total", topic=ALERTS, reason="malformed") == 1


async def test_an_empty_secret_is_refused(house: House) -> None:
    write_secret(house.folder / "secret", b"\n")
    async with Receiver() as receiver:
        with pytest.raises(SecretError, match="empty"):
            async with house.running(webhooks=[house.webhook(receiver)]):
                pass
