"""Receivers that hang, answer ten megabytes, lead to loopback or show a bad certificate, all at once, beside a good one."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from analytics.alerts.outbox_desk import Desk
from analytics.alerts.receiver_config import WebhookConfig
from ingest.contract.events import AnomalyStatus
from ingest.contract.topics import every_topic
from ingest.runtime.stop_listening import stop_listening
from tests.alert_house import House
from tests.alert_inbox import Inbox, told_by
from tests.contract.test_notifier_people import certificate
from tests.receivers import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RARELY_S = 60.0
"""Who does not take it is asked again after growing pauses: here they grow until the test is long over."""


async def test_bad_receivers_are_each_told_apart_and_hold_up_nothing(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.log.ensure_topics(every_topic())
    try:
        async with Inbox() as inbox, _bad_ones(house) as bad, house.running(webhooks=[*bad, house.webhook(inbox)]):
            for n in range(3):
                await house.report(AnomalyStatus.ENTERED, f"d-{n}")
                await house.report(AnomalyStatus.LEFT, f"d-{n}")
                await inbox.until(lambda n=n: len(inbox.taken_keys()) == 2 * n + 2)
            await _each_says_why(house)
            inbox.assert_in_order(await told_by(house.log))
        assert _given_up(house) == {("leads-elsewhere", "answered 307")}
    finally:
        await house.log.close()


async def _each_says_why(house: House) -> None:
    await house.until(lambda: "Timeout" in house.health.reasons().get("receiver hangs", ""))
    await house.until(lambda: "CERTIFICATE_VERIFY_FAILED" in house.health.reasons().get("receiver strange", ""))
    delivered = "tidegate_alert_deliveries_total"
    await house.until(lambda: house.metric(delivered, receiver="talks", outcome="delivered") == 6)
    await house.until(lambda: house.metric(delivered, receiver="leads-elsewhere", outcome="refused") == 3)


def _given_up(house: House) -> set[tuple[str, str]]:
    desk = Desk(house.folder / "deliveries.db")
    try:
        return {(row.receiver, row.detail.partition(":")[0]) for row in desk.rows(outcome="dead")}
    finally:
        desk.close()


@asynccontextmanager
async def _bad_ones(house: House) -> AsyncIterator[list[WebhookConfig]]:
    async with (
        Receiver(lambda _: Answer(how="hang")) as hangs,
        Receiver(lambda _: Answer(body=bytes(10_000_000))) as talks,
        Receiver() as inside,
        Receiver(lambda _: Answer(307, {"Location": inside.url})) as leads_elsewhere,
        _strange(house.folder) as url,
    ):
        secret = str(house.folder / "secret")
        yield [
            house.webhook(hangs, "hangs", timeout_s=0.5, most_wait_s=RARELY_S),
            house.webhook(talks, "talks"),
            house.webhook(leads_elsewhere, "leads-elsewhere"),
            WebhookConfig(name="strange", url=url, secret_file=secret, most_wait_s=RARELY_S),
        ]
        assert not inside.requests


@asynccontextmanager
async def _strange(folder: Path) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate(folder))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await stop_listening(server)
