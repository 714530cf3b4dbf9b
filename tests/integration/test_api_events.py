"""The event stream over HTTP, dark sites, and what happens when the log goes away or the process stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ingest.contract.events import DeviceState, Outcome
from ingest.contract.topics import every_topic
from ingest.runtime.clock import ManualClock
from ingest.runtime.log.port import LogUnavailableError
from tests.api_centre import DEADLINE_S, Centre, running, until
from tests.api_records import Gateway, alert_record
from tests.api_rollouts import plan_record, verdict_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

NORTH = Gateway("acme", "north")


class Events:
    """Reads a stream as the page does."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        kind = ""
        async with asyncio.timeout(DEADLINE_S):
            async for line in self._lines:
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    return kind, msgspec.json.decode(line.removeprefix("data: "))
        raise EOFError

    async def until(self, wanted: str, **fields: Any) -> Any:
        while True:
            kind, data = await self.next()
            if kind == wanted and all(data.get(name) == value for name, value in fields.items()):
                return data


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH])) as started:
        yield started


async def test_changes_arrive_as_they_happen(centre: Centre) -> None:
    await centre.put(NORTH.device("pump-1"), plan_record())
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 1)
    async with centre.client() as client, client.stream("GET", "/v1/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["content-encoding"] == "gzip"  # each event can be read as soon as it has come
        events = Events(answer)
        assert (await events.until("fleet"))["states"] == {"online": 1}
        await events.until("whole")
        await centre.put(NORTH.device("pump-1", at=2_000_000_000_000, state=DeviceState.SILENT), alert_record())
        await centre.put(verdict_record(outcome=Outcome.FAIL, log10_e=2.0))
        assert (await events.until("alert"))["state"] == "firing"
        assert (await events.until("rollout"))["verdict"]["verdict"] == "fail"
    async with centre.client() as client, client.stream("GET", "/v1/events?kinds=device,anomaly") as answer:
        events = Events(answer)
        await events.until("whole")
        await centre.put(NORTH.device("pump-2"))
        assert (await events.until("device"))["device"] == "pump-2"


async def test_a_site_goes_dark_by_time_alone_and_the_stream_says_so(tmp_path: Path) -> None:
    clock = ManualClock()
    async with (
        running(Centre(tmp_path, [NORTH], clock=clock)) as centre,
        centre.client() as client,
        client.stream("GET", "/v1/events?kinds=site") as answer,
    ):
        events = Events(answer)
        await events.until("site", state="unheard")
        await centre.put(NORTH.heartbeat(clock.now_ms(), heartbeat_ms=1000))
        await events.until("site", state="live")
        clock.advance(3.5)
        await events.until("site", state="dark")
        await centre.put(NORTH.heartbeat(clock.now_ms() - 3000, heartbeat_ms=1000))
        await events.until("site", state="live")
        clock.advance(2)
        await centre.put(NORTH.heartbeat(clock.now_ms() - 4500, heartbeat_ms=1000))
        await events.until("site", state="behind")


async def test_draining_ends_the_streams(tmp_path: Path) -> None:
    centre = Centre(tmp_path, [NORTH])
    await centre.log.ensure_topics(every_topic())
    run = asyncio.create_task(centre.api.run())
    await centre.api.started.wait()
    async with centre.client() as client, client.stream("GET", "/v1/events") as answer:
        events = Events(answer)
        await events.until("whole")
        centre.api.drain()
        await events.until("bye")
    await asyncio.wait_for(run, 9)
    await centre.log.close()
    await centre.store.close()


async def test_too_many_streams_are_refused_and_one_that_left_makes_room(tmp_path: Path) -> None:
    async with running(Centre(tmp_path, [NORTH], streams=1)) as centre, centre.client() as client:
        async with client.stream("GET", "/v1/events") as answer:
            await Events(answer).until("whole")
            refused = await client.get("/v1/events")
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:tidegate:problem:too-many-streams")

        async def admitted() -> bool:
            async with client.stream("GET", "/v1/events") as again:
                return again.status_code == 200

        await until(admitted, "a free place")


class Moody:
    """A log that can be away."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise LogUnavailableError("no broker answers")
        return getattr(self._log, name)

    async def subscribe(self, *args: Any, **options: Any) -> Any:
        if self.away:
            raise LogUnavailableError("no broker answers")
        consumer = await self._log.subscribe(*args, **options)
        poll = consumer.poll

        async def moody_poll(*given: Any) -> Any:
            if self.away:
                raise LogUnavailableError("no broker answers")
            return await poll(*given)

        consumer.poll = moody_poll
        return consumer


async def test_a_log_that_goes_away_is_waited_for_and_what_was_known_stays(tmp_path: Path) -> None:
    centre = Centre(tmp_path, [NORTH])
    inner = centre.log
    moody = Moody(inner)
    centre.log = moody  # type: ignore[assignment]
    centre.api = centre.build()
    async with running(centre), centre.client() as client:
        await centre.put(NORTH.device("pump-1"), plan_record())
        await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 1)
        moody.away = True

        async def unready() -> Any:
            answer = await client.get("/readyz")
            return answer.status_code == 503 and "no broker answers" in answer.json()["reasons"].get("api.feed", "")

        await until(unready, "the reason")
        assert (await client.get("/v1/gates/fw-2.3.0")).status_code == 200
        refused = await client.post("/v1/rollouts", json={})
        assert refused.status_code == 422
        await inner.append([NORTH.device("pump-2")])
        moody.away = False
        await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 2)

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(ready, "readiness")


async def test_a_lost_connection_is_taken_up_again_where_it_was(centre: Centre) -> None:
    await centre.put(NORTH.device("pump-1"), plan_record())
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 1)
    async with centre.client() as client:
        async with client.stream("GET", "/v1/events") as answer:
            lines = answer.aiter_lines()
            async with asyncio.timeout(DEADLINE_S):
                mark = [line async for line in _until_id(lines)][-1].removeprefix("id: ")
        await centre.put(alert_record())
        await centre.eventually("/v1/alerts", lambda answer: answer["data"])
        async with client.stream("GET", "/v1/events", headers={"Last-Event-ID": mark}) as answer:
            events = Events(answer)
            assert [(await events.next())[0] for _ in range(2)] == ["resumed", "alert"]
        async with client.stream("GET", "/v1/events", headers={"Last-Event-ID": "x" * 1000}) as answer:
            assert (await Events(answer).next())[0] == "reset"


async def _until_id(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith("id: "):
            return
