"""Alarms of a site that is alone: a real device, a panel and a webhook on the site, and no uplink at all."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTProtocolVersion
from paho.mqtt.enums import CallbackAPIVersion

from compose.embedded.uplink import Uplink
from compose.fleet.link import BrokerAddress, DeviceLink
from edge_aggregator.rules.config import AlarmsConfig, AlarmWebhookConfig, RuleConfig
from edge_aggregator.status import status
from ingest.contract.topics import device_topic
from ingest.runtime.observe import ObserveConfig, ObserveServer
from tests.edge_bench import SITE
from tests.edge_site import Site, site
from tests.integration.test_edge_service import eventually
from tests.mqtt_intake import until
from tests.receivers import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.receivers import Request

SECRET = "known to both"
RULES = [
    RuleConfig(name="hot", metric="t", above=80.0, leave=70.0, message="too hot"),
    RuleConfig(name="gone", kind="silence", severity="critical"),
]


class Panel:
    """A real paho client that looks at every alarm of the site."""

    def __init__(self, port: int, version: MQTTProtocolVersion) -> None:
        self.seen: list[tuple[str, str, list[str], bool]] = []
        self.client = Client(CallbackAPIVersion.VERSION2, "panel-1", protocol=version)
        self.client.on_connect = lambda client, *_: client.subscribe(device_topic(SITE, "+", "alarm"), qos=1)
        self.client.on_message = self._on_message
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        body = json.loads(message.payload)
        rules = [alarm["rule"] for alarm in body["alarms"]]
        self.seen.append((message.topic, body["state"], rules, message.retain))

    def fires(self) -> list[str]:
        """The rules that fire, by the newest word."""
        return self.seen[-1][2] if self.seen else []

    async def stop(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@asynccontextmanager
async def looking(port: int, version: MQTTProtocolVersion) -> AsyncIterator[Panel]:
    panel = Panel(port, version)
    try:
        yield panel
    finally:
        await panel.stop()


def changes(inbox: Receiver) -> list[tuple[str, str]]:
    """What the webhook was told, each change once."""
    found: dict[str, tuple[str, str]] = {}
    for request in inbox.requests:
        (one,) = request.json()["alerts"]
        assert request.headers["idempotency-key"] == one["idempotencyKey"]
        found[one["idempotencyKey"]] = (one["labels"]["alertname"], one["status"])
    return list(found.values())


def signed(request: Request) -> bool:
    said, at = request.headers["x-tidegate-signature"], request.headers["x-tidegate-timestamp"]
    return said == hmac.new(SECRET.encode(), f"{at}:".encode() + request.body, hashlib.sha256).hexdigest()


def settings(tmp_path: Path, inbox: Receiver) -> dict[str, Any]:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    webhook = AlarmWebhookConfig(url=inbox.url, secret_file=str(secret), most_wait_s=0.5)
    return {"rules": RULES, "alarms": AlarmsConfig(webhook=webhook), "lease_s": 3.0}


async def report(here: Site, device: DeviceLink, value: float) -> None:
    body = json.dumps({"ts": here.clock.now_ms(), "metrics": {"t": value}}).encode()
    device.publish(device_topic(SITE, "d", "telemetry"), body)
    await asyncio.sleep(0.05)


async def reports(here: Site, device: DeviceLink, value: float) -> None:
    """The same again and again, until cancelled."""
    while True:
        await report(here, device, value)


def connected(port: int) -> DeviceLink:
    link = DeviceLink(
        BrokerAddress(host="127.0.0.1", port=port), "d", device_topic(SITE, "d", "command"), lambda _: None
    )
    link.connect()
    return link


@asynccontextmanager
async def metrics_page(here: Site) -> AsyncIterator[httpx.AsyncClient]:
    """What Prometheus would ask: the gateway's own listener."""
    server = ObserveServer(ObserveConfig(), health=here.health, telemetry=here.telemetry)
    serving = asyncio.create_task(server.run())
    await server.started.wait()
    try:
        async with httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60.0) as client:
            yield client
    finally:
        server.drain()
        await serving


async def told(page: httpx.AsyncClient, line: str) -> None:
    """Waits until /metrics has that line."""

    async def says() -> bool:
        return line in (await page.get("/metrics")).text.splitlines()

    await eventually(says)


async def test_alarms_are_on_the_metrics_page(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running(rules=RULES), metrics_page(here) as page:
        device = await asyncio.to_thread(connected, here.port)
        hot = asyncio.create_task(reports(here, device, 90.0))
        await told(page, 'tidegate_edge_alarms{rule="hot",state="firing"} 1.0')
        hot.cancel()
        cool = asyncio.create_task(reports(here, device, 20.0))
        await told(page, 'tidegate_edge_alarms{rule="hot",state="firing"} 0.0')
        cool.cancel()
        await asyncio.to_thread(device.close)
        await told(page, 'tidegate_edge_alarms{rule="gone",state="firing"} 1.0')


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
async def test_a_site_without_a_link_has_its_alarms(tmp_path: Path, version: MQTTProtocolVersion) -> None:
    async with Receiver() as inbox, site(tmp_path) as here:
        inbox.answers.extend([Answer(503), Answer(how="hang_up")])
        uplink = Uplink(here.log)
        uplink.cut()
        async with here.running(uplink, **settings(tmp_path, inbox)) as _, looking(here.port, version) as panel:
            device = await asyncio.to_thread(connected, here.port)
            while not panel.seen:
                await report(here, device, 90.0)
            await until(lambda: "hot" in panel.fires())
            assert panel.seen[0][0] == device_topic(SITE, "d", "alarm")
            assert (await here.edge.standing()).alarms[("hot", "firing")] == 1
            async with looking(here.port, version) as late:  # what stands is told whoever comes later
                await until(lambda: late.seen)
                assert late.seen[0][3]
                assert "hot" in late.fires()
            while panel.fires():
                await report(here, device, 20.0)
            assert panel.seen[-1][1] == "resolved"
            await asyncio.to_thread(device.close)
            await until(lambda: panel.fires() == ["gone"])
            await until(lambda: changes(inbox)[-1:] == [("gone", "firing")])
        assert [one for one in changes(inbox) if one[0] == "hot"] == [("hot", "firing"), ("hot", "resolved")]
        assert all(signed(request) for request in inbox.requests)
        assert len(inbox.requests) >= 5  # two of them were not taken
        assert [alarm.rule for alarm in status(tmp_path / "edge").alarms] == ["gone"]

        # The gateway comes back: the alarm stands, and its end is told although nobody listened for a while.
        await inbox.close()
        async with here.running(uplink, **settings(tmp_path, inbox)), looking(here.port, version) as panel:
            await until(lambda: panel.fires() == ["gone"])
            device = await asyncio.to_thread(connected, here.port)
            await report(here, device, 20.0)
            await until(lambda: panel.seen[-1][1] == "resolved")
            await inbox.open()
            await until(lambda: changes(inbox)[-1] == ("gone", "resolved"))
            await asyncio.to_thread(device.close)
