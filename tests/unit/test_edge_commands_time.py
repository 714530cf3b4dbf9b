"""Devices without a clock of their own ask a gateway for the time: the newest question of each is answered, signed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.commands.time_giver import TimeGiver
from edge_aggregator.devices.registry import Site
from edge_aggregator.receive.port import Message
from ingest.contract.commands import key_id, open_signed
from ingest.contract.device_time import SignedTime
from ingest.contract.topics import device_topic
from ingest.runtime.clock import ManualClock
from tests.edge_bench import SITE, T0, Bench
from tests.edge_orders import (
    Downlink,
    opened,
)
from tests.mqtt_intake import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from opened(tmp_path)


def asked(bench: Bench, payload: bytes, *, device: str = "pump", retain: bool = False) -> dict[str, str]:
    bench.take([Message(device_topic(SITE, device, "clock"), payload, retain)], T0)
    return bench.core.take_asked()


def test_devices_ask_for_the_time(bench: Bench) -> None:
    request = msgspec.json.encode({"nonce": "0f" * 8})
    assert asked(bench, request) == {"pump": "0f" * 8}
    assert bench.core.take_asked() == {}
    assert asked(bench, request, retain=True) == {}
    assert asked(bench, request, device="never-heard-of") == {}
    assert bench.core.standing().totals.received == 2  # what there was before: a question is no sample


@pytest.mark.parametrize("payload", [b"", b"\xff", b"{}", b'{"nonce":"short"}', b'{"nonce":"%s"}' % (b"0" * 65)])
def test_what_is_no_question_is_not_answered(bench: Bench, payload: bytes) -> None:
    assert asked(bench, payload) == {}
    flushed = bench.flush(T0 + 1000)
    assert flushed is not None
    assert flushed.pending.events_rejected == {"malformed": 1}


async def test_the_newest_question_of_each_device_is_answered_and_signed() -> None:
    gateway, clock, downlink = Ed25519PrivateKey.generate(), ManualClock(T0), Downlink(answer=True)
    giver = TimeGiver(gateway, Site("acme", SITE, "gw-1"), downlink, clock)
    running = asyncio.create_task(giver.run())
    giver.asked({"pump": "aa" * 8, "fan": "bb" * 8})
    giver.asked({"pump": "cc" * 8})
    await until(lambda: len(downlink.published) == 2)
    public = gateway.public_key()
    given = [open_signed(sent, {key_id(public): public}, SignedTime) for _, sent in downlink.published]
    assert {(one.device, one.nonce, one.time) for one in given} == {("pump", "cc" * 8, T0), ("fan", "bb" * 8, T0)}
    assert {topic for topic, _ in downlink.published} == {device_topic(SITE, d, "command") for d in ("pump", "fan")}
    giver.asked({f"d{n}": "dd" * 8 for n in range(500)})
    await until(lambda: len(downlink.published) == 502)
    running.cancel()


async def test_a_gateway_without_the_time_gives_none() -> None:
    downlink = Downlink(answer=True)
    giver = TimeGiver(Ed25519PrivateKey.generate(), Site("acme", SITE, "gw-1"), downlink, ManualClock(12_345))
    running = asyncio.create_task(giver.run())
    giver.asked({"pump": "aa" * 8})
    for _ in range(10):
        await asyncio.sleep(0)
    assert (downlink.published, giver.given) == ([], 0)
    running.cancel()
