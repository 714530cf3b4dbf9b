"""A whole gateway: real devices over MQTT, the embedded log, signed records, commands down and answers up."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from compose.embedded.uplink import Uplink
from compose.fleet.link import BrokerAddress, DeviceLink
from edge_aggregator.service import build_edge
from edge_aggregator.status import status
from ingest.contract.batch import RollupBatch
from ingest.contract.commands import Command, key_id, sign_command
from ingest.contract.events import AckEvent, DeviceEvent, GatewayEvent
from ingest.contract.records import Outgoing, read_event
from ingest.contract.topics import ACKS, COMMANDS, DEVICES, ROLLUPS, device_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.secrets import SecretError, generate_private_key
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import SITE, Sample, check_ledger, edge_config, final_rollups, naive_rollups
from tests.edge_site import Site, site
from tests.mqtt_intake import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

CLOCK = SystemClock()
HISTORICAL_S = 2.0


class Device:
    """A device of the fleet's own kind, on its own thread."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.sent = name, list[Sample]()
        self.commands: list[bytes] = []
        address = BrokerAddress(host="127.0.0.1", port=port)
        self.link = DeviceLink(address, name, device_topic(SITE, name, "command"), self.commands.append)
        self.link.connect()
        self.say("state", state="online", firmware="1.0", boot="b1")

    def say(self, channel: str, **document: Any) -> None:
        self.link.publish(device_topic(SITE, self.name, channel), msgspec.json.encode(document))

    def report(self, **metrics: float) -> None:
        ts = max([CLOCK.now_ms(), *(sample.ts + 1 for sample in self.sent)])
        self.sent += [Sample(self.name, metric, ts, value) for metric, value in metrics.items()]
        self.say("telemetry", ts=ts, metrics=metrics)


async def eventually(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 - the log and the devices set no event of ours
            await asyncio.sleep(0.02)


async def all_rolled_up(here: Site, samples: int) -> bool:
    standing = await here.edge.standing()
    return standing is not None and standing.totals.rolled_up == samples and standing.outbox_records == 0


async def reports(devices: list[Device], rounds: int = 20) -> list[Sample]:
    for number in range(rounds):
        for device in devices:
            device.report(t=number / 3, n=float(number))
        await asyncio.sleep(0.05)
    return [sample for device in devices for sample in device.sent]


def same(batches: list[RollupBatch], sent: list[Sample], width: int = 1000) -> None:
    found, expected = final_rollups(batches), naive_rollups(sent, {}, width)
    assert {w: n.bits() for w, n in found.items()} == {w: n.bits() for w, n in expected.items()}
    check_ledger(batches)


async def test_samples_arrive_as_signed_rollups(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        async with here.running(lease_s=60.0):
            devices = [await asyncio.to_thread(Device, f"d{number}", here.port) for number in range(3)]
            sent = await reports(devices)
            await eventually(lambda: all_rolled_up(here, len(sent)))
            assert here.health.reasons() == {}
            for device in devices:
                await asyncio.to_thread(device.link.close)
        same(await here.batches(), sent)
        found = status(tmp_path / "edge")
        assert (found.totals.received, found.totals.rolled_up, found.outbox_records) == (len(sent), len(sent), 0)
        events = [
            read_event(record, DeviceEvent) for record in await here.records(DEVICES) if b"gateway:" not in record.key
        ]
        assert [event.change.value for event in events if event] == ["first_seen"] * 3
        beats = [read_event(r, GatewayEvent) for r in await here.records(DEVICES) if b"gateway:" in r.key]
        assert all(after.at > before.at for before, after in itertools.pairwise(beats) if before and after)


async def test_batches_and_events_of_a_flush_share_its_trace(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        async with here.running(heartbeat_s=0.001):  # one with every flush
            device = await asyncio.to_thread(Device, "d", here.port)
            sent = await reports([device], rounds=3)
            await eventually(lambda: all_rolled_up(here, len(sent)))
            await asyncio.to_thread(device.link.close)
        batches, events = await here.records(ROLLUPS), await here.records(DEVICES)
        traces = {record.header("traceparent") for record in events}
        assert batches
        for record in batches:
            assert record.header("traceparent") in traces
            assert record.header("ce_source") == b"tidegate/site-1/gw-1"
            assert record.header("ce_specversion") == b"1.0"


async def test_a_device_without_power_falls_silent(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running(lease_s=0.5):
        device = await asyncio.to_thread(Device, "d", here.port)
        device.report(t=1.0)
        await eventually(lambda: _said(here, "silent"))
        device.report(t=2.0)
        await eventually(lambda: _said(here, "returned"))
        await asyncio.to_thread(device.link.close)


async def _said(here: Site, change: str) -> bool:
    events = [read_event(r, DeviceEvent) for r in await here.records(DEVICES) if b"gateway:" not in r.key]
    return any(event is not None and event.change.value == change for event in events)


def command(here: Site, **changes: Any) -> bytes:
    settings: dict[str, Any] = {
        "command": "c1",
        "kind": "install",
        "tenant": "acme",
        "site": SITE,
        "device": "d",
        "rollout": "r1",
        "key": key_id(here.centre.public_key()),
        "counter": 1,
        "issued": CLOCK.now_ms(),
        "expires": CLOCK.now_ms() + 60_000,
        "version": "2.0",
        "digest": "sha256:00",
    }
    return msgspec.json.encode(sign_command(Command(**(settings | changes)), here.centre))


async def answers(here: Site) -> list[tuple[str, str, str]]:
    events = [read_event(record, AckEvent) for record in await here.records(ACKS)]
    return [(event.command, event.status.value, event.reason) for event in events if event]


async def test_a_command_is_published_until_it_is_answered(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running():
        device = await asyncio.to_thread(Device, "d", here.port)
        await eventually(lambda: _said(here, "first_seen"))
        sent = command(here)
        await here.log.append([Outgoing(COMMANDS, SITE.encode(), sent)])
        await eventually(lambda: _later(len(device.commands) > 1))
        assert set(device.commands) == {sent}
        device.say("ack", command="c1", status="done", firmware="2.0")
        await eventually(lambda: _answered(here, [("c1", "done", "")]))
        await asyncio.to_thread(device.link.close)


async def test_a_command_waits_through_a_restart_for_its_device(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        async with here.running():
            device = await asyncio.to_thread(Device, "d", here.port)
            await eventually(lambda: _said(here, "first_seen"))
            await asyncio.to_thread(device.link.close)
            forged = command(here, command="c0").replace(b'"payload":"', b'"payload":"AAAA')
            records = [Outgoing(COMMANDS, SITE.encode(), value) for value in (command(here), forged)]
            await here.log.append(records)
            await eventually(lambda: _refused(here))
        async with here.running():
            device = await asyncio.to_thread(Device, "d", here.port)
            await eventually(lambda: _later(device.commands))
            device.say("ack", command="c1", status="refused", reason="expired")
            await eventually(lambda: _answered(here, [("c1", "refused", "expired")]))
            await asyncio.to_thread(device.link.close)


async def _later(value: object) -> object:
    return value


async def _answered(here: Site, expected: list[tuple[str, str, str]]) -> bool:
    return [answer for answer in await answers(here) if answer[0] == "c1"] == expected


async def _refused(here: Site) -> bool:
    return any(reason == "bad_signature" for _, _, reason in await answers(here))


async def test_while_the_log_is_away_nothing_is_lost_and_readiness_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        uplink = Uplink(here.log)
        uplink.cut()
        async with here.running(uplink, historical_after_s=HISTORICAL_S):
            device = await asyncio.to_thread(Device, "d", here.port)
            await reports([device], rounds=40)
            await eventually(
                lambda: _later(here.health.reasons().get("edge gw-1 forward") == "log: the site's uplink is cut")
            )
            assert "edge gw-1 commands" in here.health.reasons()
            standing = await here.edge.standing()
            assert standing is not None
            assert standing.outbox_records > 0
            assert await here.records(ROLLUPS) == []
            await asyncio.sleep(HISTORICAL_S)
            uplink.mend()
            await eventually(lambda: _later(here.health.reasons() == {}))
            sent = await reports([device])
            await eventually(lambda: all_rolled_up(here, len(sent)))
            await eventually(lambda: _later(here.health.reasons() == {}))
            await asyncio.to_thread(device.link.close)
        batches = await here.batches()
        same(batches, sent)
        assert batches[0].historical
        assert not batches[-1].historical


async def test_a_stop_is_quick_and_leaves_half_windows_for_the_next_start(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        uplink = Uplink(here.log)
        async with here.running(uplink, window_s=3600.0, idle_close_s=3600.0):
            device = await asyncio.to_thread(Device, "d", here.port)
            sent = await reports([device], rounds=5)
            await eventually(lambda: _later(device.link.unacknowledged() == 0))
            await asyncio.to_thread(device.link.close)
            uplink.cut()
            begun = CLOCK.monotonic()
        assert CLOCK.monotonic() - begun < 10
        assert status(tmp_path / "edge").totals.open == len(sent)
        assert await here.batches() == []
        async with here.running(window_s=3600.0, idle_close_s=0.0):
            standing = await here.edge.standing()
            assert standing is not None
            assert standing.totals.received == len(sent)


def test_a_gateway_that_cannot_work_is_not_built(tmp_path: Path) -> None:
    equipment: dict[str, Any] = {"clock": CLOCK, "log": None, "health": Health(), "telemetry": Telemetry("test")}
    with pytest.raises(ValueError, match="neither broker nor listener"):
        build_edge(edge_config(tmp_path), **equipment)
    hand: Any = object()
    with pytest.raises(SecretError, match="cannot be read"):
        build_edge(edge_config(tmp_path), **equipment, receivers=[hand], downlink=hand)
    generate_private_key(tmp_path / "gateway.pem")
    (tmp_path / "gateway.pem").chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        build_edge(edge_config(tmp_path), **equipment, receivers=[hand], downlink=hand)
