"""The event stream: the whole picture, then the newest state of what changed; a slow reader never makes a queue grow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dashboards.api.config import ApiConfig
from dashboards.api.hub import PENDING_BYTES, Hub, Subscription
from dashboards.api.projection import Subject
from dashboards.api.remembered import Remembered
from dashboards.api.stream import CHUNK, FIRST_KINDS, begin, everything, stream
from dashboards.api.views import TenantView
from ingest.contract.events import AlertEvent, DeviceEvent
from tests.api_records import NOW, Gateway, alert_record
from tests.api_rollouts import plan, verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

GATEWAY = Gateway("acme", "north")


def picture() -> TenantView:
    view = TenantView("acme", ApiConfig(), [("north", "gw-north")])
    view.devices.put(msgspec.json.decode(GATEWAY.device("pump-1").value or b"", type=DeviceEvent))
    view.plan(plan())
    view.alerts.put(msgspec.json.decode(alert_record().value or b"", type=AlertEvent))
    return view


def read(chunk: bytes) -> list[tuple[str, Any]]:
    events = []
    for block in chunk.decode().split("\n\n"):
        if block.startswith("event: "):
            kind, data = block.split("\n")
            events.append((kind.removeprefix("event: "), msgspec.json.decode(data.removeprefix("data: "))))
    return events


async def until(chunks: AsyncIterator[bytes], last: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async with asyncio.timeout(90):
        while not found or found[-1][0] != last:
            found += read(await anext(chunks))
    return found


def subscribed(hub: Hub, view: TenantView, kinds: frozenset[str] = frozenset(FIRST_KINDS)) -> AsyncIterator[bytes]:
    subscription = Subscription(view.tenant, kinds, everything(view, NOW))
    assert hub.subscribe(subscription)
    return stream(hub, subscription, view, lambda: NOW)


async def test_the_whole_picture_comes_first_then_changes() -> None:
    hub, view = Hub(4), picture()
    chunks = subscribed(hub, view)
    first = await until(chunks, "whole")
    assert [kind for kind, _ in first] == ["hello", "fleet", "site", "alert", "rollout", "account", "whole"]
    assert first[0][1] == {"tenant": "acme", "at": NOW}
    view.judge(verdict(log10_e=0.7))
    hub.publish(Subject("acme", "rollout", "fw-2.3.0"))
    view.judge(verdict(log10_e=0.9, at=NOW + 1))
    hub.publish(Subject("acme", "rollout", "fw-2.3.0"))
    changes = await until(chunks, "rollout")
    assert [data["verdict"]["log10_e"] for _, data in changes] == [0.9], "only the newest state is told"


async def test_a_device_changes_the_fleet_and_its_site() -> None:
    hub, view = Hub(4), picture()
    chunks = subscribed(hub, view, frozenset({"fleet", "site", "device"}))
    await until(chunks, "whole")
    hub.publish(Subject("acme", "device", "north/pump-1"))
    assert [kind for kind, _ in await until(chunks, "site")] == ["device", "fleet", "site"]


async def test_other_tenants_and_other_kinds_are_not_told() -> None:
    hub, view = Hub(4), picture()
    chunks = subscribed(hub, view, frozenset({"alert"}))
    await until(chunks, "whole")
    hub.publish(Subject("other", "alert", "f1"))
    hub.publish(Subject("acme", "rollout", "fw-2.3.0"))
    hub.publish(Subject("acme", "alert", "gone"))
    assert await until(chunks, "gone") == [("gone", {"kind": "alert", "key": "gone"})]


async def test_a_reader_for_whom_too_much_waits_reads_everything_anew() -> None:
    hub, view = Hub(4), picture()
    chunks = subscribed(hub, view)
    await until(chunks, "whole")
    for index in range(PENDING_BYTES // 1000 + 10):
        hub.publish(Subject("acme", "alert", f"{index:0>1000}"))
    again = await until(chunks, "whole")
    assert [kind for kind, _ in again][:2] == ["reset", "alert"] or again[0][0] == "reset"
    assert {"fleet", "site", "rollout"} <= {kind for kind, _ in again}


async def test_streams_are_limited_and_end_when_the_process_stops() -> None:
    hub, view = Hub(1), picture()
    chunks = subscribed(hub, view)
    await until(chunks, "whole")
    assert not hub.subscribe(Subscription("acme", frozenset(FIRST_KINDS)))
    hub.close()
    assert (await until(chunks, "bye"))[-1][0] == "bye"
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)
    assert len(hub) == 0
    assert not hub.subscribe(Subscription("acme", frozenset(FIRST_KINDS)))


def read_mark(chunk: bytes) -> str:
    """The last id that was said, empty when there was none."""
    lines = [line for line in chunk.decode().split("\n") if line.startswith("id: ")]
    return lines[-1].removeprefix("id: ") if lines else ""


async def marked(chunks: AsyncIterator[bytes], said: Callable[[bytes], bool]) -> str:
    """The mark after a chunk of which `said` is true."""
    async with asyncio.timeout(60):
        while not said(chunk := await anext(chunks)):
            pass
    assert read_mark(chunk)
    return read_mark(chunk)


def again(
    hub: Hub, view: TenantView, mark: str, kinds: frozenset[str] = frozenset(FIRST_KINDS)
) -> AsyncIterator[bytes]:
    first, subscription = begin(hub, view, kinds, mark, NOW)
    assert hub.subscribe(subscription)
    return stream(hub, subscription, view, lambda: NOW, first)


async def test_a_reader_who_comes_back_is_told_what_it_missed_and_no_more() -> None:
    hub, view = Hub(9), picture()
    chunks = subscribed(hub, view)
    mark = await marked(chunks, lambda chunk: b"event: whole" in chunk)
    hub.publish(Subject("acme", "rollout", "fw-2.3.0"))
    hub.publish(Subject("other", "alert", "f1"))
    newer = await marked(chunks, lambda chunk: b"event: rollout" in chunk)
    hub.publish(Subject("acme", "device", "north/pump-1"))
    assert [kind for kind, _ in await until(again(hub, view, mark), "site")] == ["resumed", "rollout", "fleet", "site"]
    assert [kind for kind, _ in await until(again(hub, view, newer), "site")] == ["resumed", "fleet", "site"]


@pytest.mark.parametrize(
    "what", ["too old", "another process", "another tenant", "other kinds", "a later one", "nonsense"]
)
async def test_a_reader_whose_mark_says_nothing_here_reads_everything_anew(what: str) -> None:
    hub, view = Hub(9), picture()
    hub.remembered = Remembered(5)
    mark = await marked(subscribed(hub, view), lambda chunk: b"event: whole" in chunk)
    kinds = frozenset(FIRST_KINDS)
    if what == "too old":
        for _ in range(6):
            hub.publish(Subject("other", "alert", "f1"))
    elif what == "another process":
        hub.remembered = Remembered()
    elif what == "another tenant":
        mark = hub.remembered.mark("other", kinds, 0)
    elif what == "other kinds":
        kinds = kinds | {"silence"}
    else:
        mark = mark.replace("-0-", "-1-" if what == "a later one" else "-²-")
    told = [kind for kind, _ in await until(again(hub, view, mark, kinds), "whole")]
    assert (told[0], "rollout" in told) == ("reset", True)


async def test_what_is_told_in_parts_has_a_mark_only_where_all_was_told() -> None:
    hub, view = Hub(9), picture()
    chunks = subscribed(hub, view)
    await until(chunks, "whole")
    for index in range(CHUNK + 1):
        hub.publish(Subject("acme", "alert", f"gone-{index}"))
    assert not read_mark(await anext(chunks))
    assert read_mark(await anext(chunks))
