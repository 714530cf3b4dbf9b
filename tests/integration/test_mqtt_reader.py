"""The reader against a real Mosquitto: what is committed is done, what is not comes again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from edge_aggregator.receive.config import BrokerConfig, TlsConfig
from edge_aggregator.receive.mqtt.reader import MqttReader
from edge_aggregator.receive.mqtt.tls import server_context
from edge_aggregator.receive.port import Message
from ingest.runtime.clock import SystemClock
from tests.mqtt_intake import DEADLINE_S, HeldIntake, until
from tests.mqtt_relay import relay
from tests.mqtt_tls import certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from compose.stack.endpoints import MqttEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers
both = pytest.mark.parametrize("only_311", [False, True], ids=["mqtt5", "mqtt311"])


class Site:
    """A site of its own at the shared broker."""

    def __init__(self, endpoint: MqttEndpoint, folder: Path) -> None:
        self.endpoint, self.name = endpoint, f"site-{uuid.uuid4().hex[:8]}"
        self.password_file = folder / "password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(f"{endpoint.password}\n")

    def topic(self, device: str = "d1", channel: str = "telemetry") -> str:
        return f"tidegate/v1/{self.name}/{device}/{channel}"

    def config(self, **changes: Any) -> BrokerConfig:
        fields = {
            "host": self.endpoint.host,
            "port": self.endpoint.port,
            "client_id": f"edge-{self.name}",
            "topics": [self.topic("+"), self.topic("+", "state")],
            "username": self.endpoint.username,
            "password_file": str(self.password_file),
        }
        return BrokerConfig(**(fields | changes))

    @contextmanager
    def device(self) -> Iterator[Client]:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.username_pw_set(self.endpoint.device_username, self.endpoint.device_password)
        client.connect(self.endpoint.host, self.endpoint.port)
        client.loop_start()
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    async def publish(
        self,
        payloads: list[bytes],
        *,
        device: str = "d1",
        channel: str = "telemetry",
        qos: int = 1,
        retain: bool = False,
    ) -> None:
        await asyncio.to_thread(self._publish, payloads, self.topic(device, channel), qos, retain)

    def _publish(self, payloads: list[bytes], topic: str, qos: int, retain: bool) -> None:  # noqa: FBT001 - of one caller
        with self.device() as client:
            sent = [client.publish(topic, payload, qos, retain) for payload in payloads]
            for message in sent:
                message.wait_for_publish(DEADLINE_S)


@pytest.fixture
def site(mosquitto: RunningServer[MqttEndpoint], tmp_path: Path) -> Site:
    return Site(mosquitto.endpoint, tmp_path)


@asynccontextmanager
async def reading(config: BrokerConfig, intake: HeldIntake, *, ready: bool = True) -> AsyncIterator[MqttReader]:
    reader = MqttReader(config, SystemClock(), rng=random.Random(7))
    running = asyncio.create_task(reader.run(intake))
    try:
        if ready:
            await until(lambda: reader.state() == "connected")
        yield reader
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@both
async def test_what_was_not_committed_comes_again_and_what_was_does_not(site: Site, only_311: bool) -> None:  # noqa: FBT001 - a parameter
    intake = HeldIntake()
    async with relay(site.endpoint.host, site.endpoint.port, only_311=only_311) as between:
        config = site.config(port=between.port)
        async with reading(config, intake):
            await site.publish([b"a", b"b"])
            await until(lambda: intake.payloads() == [b"a", b"b"])
            intake.commit()
        async with reading(config, intake):
            await site.publish([b"c"])
            await until(lambda: intake.payloads() == [b"a", b"b", b"c"])
            between.cut()
            await until(lambda: intake.payloads() == [b"a", b"b", b"c", b"c"])
            # Both are committed; the first one's acknowledgement belongs to a connection that is gone.
            intake.commit()
        async with reading(config, intake) as reader:
            await site.publish([b"d"])
            await until(lambda: intake.payloads() == [b"a", b"b", b"c", b"c", b"d"])
            assert reader.counters["sessions_kept"] == 1
            intake.commit()
        assert between.levels == ([5, 4] if only_311 else [5]) * 4


async def test_acknowledgements_go_out_in_order_of_arrival(site: Site) -> None:
    intake = HeldIntake()
    async with reading(site.config(), intake) as reader:
        await site.publish([b"%d" % n for n in range(3000)])
        await until(lambda: len(intake.messages()) == 3000)
        assert intake.payloads() == [b"%d" % n for n in range(3000)]
        intake.commit()
        assert reader.counters["messages"] == 3000
    async with reading(site.config(), intake):
        await site.publish([b"end"])
        await until(lambda: intake.payloads()[-1] == b"end")
    assert len(intake.messages()) == 3001


@both
async def test_qos_2_is_taken_as_the_broker_downgrades_it(site: Site, only_311: bool) -> None:  # noqa: FBT001 - a parameter
    intake, again = HeldIntake(), HeldIntake()
    async with relay(site.endpoint.host, site.endpoint.port, only_311=only_311) as between:
        config = site.config(port=between.port)
        async with reading(config, intake):
            await site.publish([b"%d" % n for n in range(50)], qos=2)
            await until(lambda: len(intake.messages()) == 50)
            intake.commit()
        assert intake.payloads() == [b"%d" % n for n in range(50)]
        async with reading(config, again) as reader:
            await site.publish([b"end"], qos=2)
            await until(lambda: again.payloads() == [b"end"])  # what was committed had been acknowledged
            assert reader.counters["sessions_kept"] == 1
            again.commit()


async def test_two_gateways_split_a_site_by_device(site: Site) -> None:
    first, second = HeldIntake(commits=True), HeldIntake(commits=True)
    halves = [site.config(client_id=f"edge-{site.name}-{n}", topics=[site.topic(f"d{n}", "+")]) for n in (1, 2)]
    async with reading(halves[0], first), reading(halves[1], second):
        await site.publish([b"1", b"2"], device="d1")
        await site.publish([b"3"], device="d2")
        await until(lambda: len(first.messages()) == 2 and len(second.messages()) == 1)
    assert (first.payloads(), second.payloads()) == ([b"1", b"2"], [b"3"])


async def test_what_is_published_while_the_edge_is_away_waits_for_it(site: Site) -> None:
    intake = HeldIntake(commits=True)
    async with reading(site.config(), intake):
        pass
    await site.publish([b"1", b"2"])
    async with reading(site.config(), intake) as reader:
        await until(lambda: intake.payloads() == [b"1", b"2"])
        assert reader.counters["sessions_kept"] == 1


async def test_after_a_restart_of_the_broker_the_session_goes_on(
    site: Site, mosquitto: RunningServer[MqttEndpoint]
) -> None:
    intake = HeldIntake()
    async with reading(site.config(), intake) as reader:
        await site.publish([b"held"])
        await until(intake.messages)
        await asyncio.to_thread(mosquitto.stop)
        await until(lambda: "cannot connect to" in reader.state())
        assert reader.connected_since() is None
        await asyncio.to_thread(mosquitto.start)
        await until(lambda: reader.state() == "connected")
        await until(lambda: intake.payloads() == [b"held", b"held"])
        assert reader.counters["sessions_kept"] == 1
        intake.commit()


async def test_ten_megabytes_are_passed_over_counted_and_not_sent_again(site: Site) -> None:
    intake = HeldIntake(commits=True)
    async with reading(site.config(), intake):
        await site.publish([bytes(10_000_000), b"small"])
        await until(lambda: intake.payloads() == [b"small"])
    assert [topic for arrival in intake.arrivals for topic in arrival.oversized] == [site.topic()]
    again = HeldIntake()
    async with reading(site.config(), again) as reader:
        await site.publish([b"end"])
        await until(lambda: again.payloads() == [b"end"])
        assert reader.counters["oversized"] == 0


async def test_a_retained_message_is_told_from_a_live_one(site: Site) -> None:
    await site.publish([b"kept"], channel="state", retain=True)
    intake = HeldIntake(commits=True)
    async with reading(site.config(), intake):
        await until(intake.messages)
        await site.publish([b"live"], channel="state", retain=True)
        await until(lambda: len(intake.messages()) == 2)
    state = site.topic(channel="state")
    assert intake.messages() == [Message(state, b"kept", True), Message(state, b"live", False)]
    await site.publish([b""], channel="state", retain=True)


@both
async def test_reads_pause_while_the_intake_has_no_room_and_nothing_is_lost(site: Site, only_311: bool) -> None:  # noqa: FBT001 - a parameter
    intake = HeldIntake(commits=True)
    payloads = [b"%06d" % n + bytes(2000) for n in range(3000)]
    host, port = site.endpoint.host, site.endpoint.port
    async with relay(host, port, only_311=only_311) as between, reading(site.config(port=between.port), intake):
        intake.fill()
        await site.publish(payloads)
        await until(intake.messages)
        assert sum(arrival.size for arrival in intake.arrivals) < 2 * 64 * 1024
        intake.empty()
        await until(lambda: len(intake.messages()) == len(payloads))
    assert intake.payloads() == payloads


async def test_quiesced_it_reads_no_more_and_still_acknowledges(site: Site) -> None:
    intake, later = HeldIntake(), HeldIntake()
    async with reading(site.config(), intake) as reader:
        await site.publish([b"taken"])
        await until(intake.messages)
        reader.quiesce()
        await site.publish([b"left"])
        intake.commit()
    assert intake.payloads() == [b"taken"]
    async with reading(site.config(), later):
        await until(lambda: later.payloads() == [b"left"])


async def test_a_wrong_password_is_said_and_tried_again(site: Site) -> None:
    right = site.password_file.read_text()
    site.password_file.write_text("wrong\n")
    async with reading(site.config(), HeldIntake(), ready=False) as reader:
        await until(lambda: reader.state() == "the broker refused the connection: not authorised")
        site.password_file.write_text(right)
        await until(lambda: reader.state() == "connected")
        assert reader.counters["refused"] >= 1


async def test_tls_with_a_client_certificate(site: Site, tmp_path: Path) -> None:
    files = certificates(tmp_path)
    intake = HeldIntake(commits=True)
    async with relay(site.endpoint.host, site.endpoint.port, tls=server_context(files.server)) as between:
        config = site.config(port=between.port, tls=files.client)
        async with reading(config, intake):
            await site.publish([bytes(200_000), b"1"])
            await until(lambda: intake.payloads() == [bytes(200_000), b"1"])
        untrusted = site.config(port=between.port, tls=TlsConfig())
        async with reading(untrusted, intake, ready=False) as reader:
            await until(lambda: "certificate verify failed" in reader.state())
