"""Bad input from devices and in the log: refused with its reason and counted, and good data beside it arrives complete."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.contract.batch import Origin
from ingest.contract.batch_wire import encode_batch
from ingest.contract.events import DeviceChange, DeviceEvent, DeviceState
from ingest.contract.packing.runs import encode_runs
from ingest.contract.records import Outgoing, Record, event_record
from ingest.contract.topics import DEVICES, ROLLUPS, SAMPLES, device_topic
from ingest.runtime.secrets import load_private_key
from tests.process_fleet import CLOCK, Talker
from tests.process_house import SITE, TENANT, House
from tests.process_kit import nursery, until
from tests.refusals import counted, dead_letters
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from pathlib import Path

DAY_MS = 86_400_000


async def test_what_devices_send_wrongly(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start()
        good, bad = Talker(SITE, "good", house.broker), Talker(SITE, "bad", house.broker)
        try:
            expected = await send_everything(good, bad)
            await until(lambda: settled(good, bad), "everything is acknowledged", house.told)
            await house.books_closed(len(good.said) + expected["taken"])
            await the_edge_counts(house, expected)
            await the_payloads_are_kept(house, expected)
            await the_good_arrived(house, good)
            assert [await worker.reasons() for worker in house.workers.values()] == [{}, {}, {}, {}]
        finally:
            good.close()
            bad.close()
        await house.stop()


async def send_everything(good: Talker, bad: Talker) -> Counter[str]:
    """All of it, with good messages in between; what is to be refused, by reason ("taken": what is good in it)."""
    expected: Counter[str] = Counter()
    for topic, payload, outcome in hostile(CLOCK.now_ms()):
        good.say()
        bad.publish(topic, payload)
        expected.update(outcome)
        await asyncio.sleep(0.05)
    good.say()
    return expected


def hostile(now: int) -> list[tuple[str, bytes, dict[str, int]]]:
    telemetry = device_topic(SITE, "bad", "telemetry")

    def at(ts: object, **metrics: object) -> bytes:
        return json.dumps({"ts": ts, "metrics": metrics or {"a": 1.0}}).encode()

    return [
        (telemetry, b"{not json", {"malformed": 1}),
        (telemetry, b"\xff\xfe", {"malformed": 1}),
        (telemetry, b'"text"', {"malformed": 1}),
        (telemetry, b"[" * 5000, {"malformed": 1}),
        (telemetry, at(now, a="12", b=True, c=None, d={"e": 1}, f=[1], fine=1.0), {"not_a_number": 5, "taken": 1}),
        (telemetry, b'{"metrics": {"a": NaN, "b": Infinity, "c": -Infinity, "e": 5}}', {"not_finite": 3, "taken": 1}),
        (telemetry, at(now + 1, a=1e200, b=-1e151, fine=1e150), {"out_of_range": 2, "taken": 1}),
        (telemetry, at("yesterday"), {"bad_timestamp": 1}),
        (telemetry, at(-5), {"bad_timestamp": 1}),
        (telemetry, at(now + 3650 * DAY_MS), {"taken": 1}),  # held to its arrival
        (telemetry, at(1 << 70), {"bad_timestamp": 1}),
        (telemetry, at(now - 400 * DAY_MS), {"too_old": 1}),
        (telemetry, at(0), {"too_old": 1}),
        (telemetry, json.dumps({"": 1.0, "x" * 1000: 1.0, "fine": 1.0}).encode(), {"bad_name": 2, "taken": 1}),
        (telemetry, at(now, a=" " * (10 << 20)), {"too_large": 1}),
        (device_topic(SITE, "bad", "nonsense"), at(now), {"unknown_topic": 1}),
        ("factory/7/temperature", b"21.5", {"unknown_topic": 1}),
        (device_topic("south", "bad", "telemetry"), at(now), {"foreign_site": 1}),
        (device_topic(SITE, "bad", "state"), b'{"state": "dancing"}', {}),
        (device_topic(SITE, "bad", "ack"), b'{"command": "none", "status": "done"}', {}),
        (device_topic("south", "bad", "state"), b'{"state": "online"}', {}),
    ]


async def settled(*talkers: Talker) -> bool:
    return all(talker.settled() for talker in talkers)


async def the_edge_counts(house: House, expected: Counter[str]) -> None:
    rejected = {reason: count for reason, count in expected.items() if reason != "taken"}
    totals = (await house.account())["totals"]
    assert totals["rejected"] == rejected
    assert (totals["dropped"], totals["duplicate"]) == ({}, 0)
    metrics = await house.edge.metrics()
    samples = {
        dict(labels)["reason"]: value
        for (name, labels), value in metrics.items()
        if name == "tidegate_edge_samples_total" and dict(labels)["outcome"] == "rejected"
    }
    assert samples == rejected
    events = {
        dict(labels)["reason"]: value
        for (name, labels), value in metrics.items()
        if name == "tidegate_edge_events_rejected_total"
    }
    assert events == {"malformed": 1, "unknown_command": 1, "foreign_site": 1}
    assert metrics["tidegate_edge_skewed_samples_total", ()] == 1
    ledger = await house.client.get("/v1/ledger")
    assert ledger["accounts"][0]["rejected_by_reason"] == rejected


async def the_payloads_are_kept(house: House, expected: Counter[str]) -> None:
    letters = await dead_letters(house, SAMPLES)
    assert {letter["reason"] for letter in letters} == expected.keys() - {"taken"}
    assert all(letter["bytes"] <= 64 * 1024 for letter in letters)
    assert [letter["reason"] for letter in await dead_letters(house, DEVICES)] == ["malformed", "foreign_site"]


async def the_good_arrived(house: House, good: Talker) -> None:
    found = (await house.client.get(f"/v1/series?device={good.name}"))["series"]
    said = Counter(sample.metric for sample in good.said)
    assert {series["metric"]: sum(series["count"]) for series in found} == said


async def test_what_somebody_else_writes_into_the_log(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start()
        talker = Talker(SITE, "good", house.broker)
        try:
            talker.say()
            await until(lambda: stored(house), "a batch is stored", house.told)
            expected = await append_hostile(house)
            talker.say()
            await until(lambda: settled(talker), "everything is acknowledged", house.told)
            await until(lambda: all_dead(house, expected), "everything hostile is a dead letter", house.told)
            await house.books_closed(len(talker.said))
            await the_door_counts(house, expected)
            await the_good_arrived(house, talker)
            devices = {device["device"] for device in await house.client.items("/v1/devices")}
            assert devices == {"good"}
            assert (await house.client.get("/v1/ledger"))["totals"]["balanced"]
            assert [await worker.reasons() for worker in house.workers.values()] == [{}, {}, {}, {}]
        finally:
            talker.close()
        await house.stop()


async def stored(house: House) -> bool:
    return (await house.stored()).samples > 0


async def append_hostile(house: House) -> Counter[str]:
    genuine = (await house.records(ROLLUPS))[0]
    ours = load_private_key(house.credentials.gateway_key(SITE))
    letters = hostile_batches(ours)
    log = house.log()
    try:
        await log.append([record for record, _ in letters])
        await log.append([_again(genuine), *hostile_events()])
    finally:
        await log.close()
    return Counter(reason for _, reason in letters)


def hostile_batches(ours: Ed25519PrivateKey) -> list[tuple[Outgoing, str]]:
    """Batches with the reason for which each is refused; the last ones carry a genuine signature."""
    us = SignedGateway(Origin(TENANT, SITE, f"gateway-{SITE}", "another-boot"))
    us.key = ours
    stranger = SignedGateway(us.origin)
    neighbour = SignedGateway(us.origin._replace(tenant="rival"))
    neighbour.key = ours
    elsewhere = SignedGateway(us.origin._replace(site="south"))
    elsewhere.key = ours
    good = encode_batch(us.batch())
    fields = msgspec.msgpack.decode(good)
    columns = fields["columns"]
    bare = Outgoing(ROLLUPS, SITE.encode(), good)

    def changed(**changes: object) -> Outgoing:
        return us.sign_value(msgspec.msgpack.encode(fields | changes))

    return [
        (bare, "no_signature"),
        (msgspec.structs.replace(bare, value=b"\x00garbage"), "no_signature"),
        (stranger.record(), "unknown_gateway"),
        (us.sign_value(good, key=Ed25519PrivateKey.generate()), "bad_signature"),
        (msgspec.structs.replace(us.sign_value(good), value=good[:-1] + b"\x7f"), "bad_signature"),
        (us.sign_value(b"\x00garbage"), "malformed"),
        (us.sign_value(b"\x81" * 10_000), "malformed"),
        (changed(version=99), "unsupported_version"),
        (changed(columns={}), "column_missing"),
        (changed(columns=columns | {"sum": columns["sum"][:-1]}), "column_length"),
        (changed(columns=columns | {"device": encode_runs(np.array([7]))}), "index_out_of_bounds"),
        (changed(columns=columns | {"width": encode_runs(np.array([0]))}), "bad_value"),
        (changed(site="../../etc"), "bad_name"),
        (neighbour.record(), "foreign_origin"),
        (elsewhere.record(), "foreign_origin"),
    ]


def hostile_events() -> list[Outgoing]:
    """Nobody's word for a device that there is not."""
    now = CLOCK.now_ms()
    event = DeviceEvent(
        tenant=TENANT,
        site=SITE,
        gateway=f"gateway-{SITE}",
        device="ghost",
        change=DeviceChange.FIRST_SEEN,
        state=DeviceState.ONLINE,
        at=now,
    )
    unsigned = event_record(DEVICES, f"{SITE}/ghost", event, event_id="1", source="nobody", time=now)
    signed = SignedGateway(Origin(TENANT, SITE, f"gateway-{SITE}", "boot")).sign_value(unsigned.value or b"")
    return [
        unsigned,
        msgspec.structs.replace(signed, topic=DEVICES, key=unsigned.key),
        Outgoing(DEVICES, b"garbage", b"\xff\x00"),
    ]


def _again(record: Record) -> Outgoing:
    return Outgoing(record.topic, record.key, record.value, record.headers)


async def all_dead(house: House, expected: Counter[str]) -> bool:
    return Counter(letter["reason"] for letter in await dead_letters(house, ROLLUPS)) == expected


async def the_door_counts(house: House, expected: Counter[str]) -> None:
    metrics = await house.ingest.metrics()
    outcomes = {
        (dict(labels)["outcome"], dict(labels)["reason"]): value
        for (name, labels), value in metrics.items()
        if name == "tidegate_ingest_batches_total"
    }
    dead = {reason: count for (outcome, reason), count in outcomes.items() if outcome == "dead"}
    assert dead == expected
    assert sum(count for (outcome, _), count in outcomes.items() if outcome == "duplicate") == 1
    passed_over = await counted(house.analytics, "tidegate_dead_letters_total", "reason")
    assert passed_over.keys() >= {"no_signature", "unknown_gateway"}
    passed_over = await counted(house.api, "tidegate_api_records_total", "outcome")
    assert passed_over.keys() >= {"taken", "no_signature", "unknown_gateway"}
