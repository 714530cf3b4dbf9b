"""Raw samples on demand from a whole gateway: asked in the log, answered from the journal, beside live data."""

from __future__ import annotations

import asyncio
import fnmatch
from typing import TYPE_CHECKING

import apsw
import msgspec

from compose.embedded.uplink import Uplink
from edge_aggregator.core import Core
from edge_aggregator.recorder.config import RecorderConfig
from ingest.contract.events import PullEvent
from ingest.contract.samples import SampleChunk, decode_samples
from ingest.contract.topics import PULLS, REQUESTS, SAMPLES
from tests.edge_site import Site, site
from tests.integration.test_edge_service import CLOCK, Device, all_rolled_up, eventually, reports
from tests.recorder_material import Answer, answer, asked

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.edge_bench import Sample

FAST = RecorderConfig(bytes_per_s=1 << 30)


async def ask(here: Site, sent: list[Sample], **changes: object) -> None:
    now = CLOCK.now_ms()
    span = {
        "start": min(s.ts for s in sent),
        "end": max(s.ts for s in sent) + 1,
        "issued": now,
        "expires": now + 60_000,
    }
    await here.log.append([asked(here.centre, **(span | changes))])


async def answered(here: Site, name: str = "r1") -> Answer | None:
    return answer((record.value for record in await here.records(SAMPLES)), name)


async def audits(here: Site) -> list[PullEvent]:
    return [msgspec.json.decode(record.value or b"", type=PullEvent) for record in await here.records(PULLS)]


async def test_samples_are_sent_when_they_are_asked_for(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running(recorder=FAST):
        devices = [await asyncio.to_thread(Device, f"pump-{number}", here.port) for number in range(3)]
        sent = await reports(devices)
        await eventually(lambda: all_rolled_up(here, len(sent)))
        await ask(here, sent, device="pump-[12]", metrics=["t*"])
        await eventually(lambda: answered(here))
        found = await answered(here)
        assert found is not None
        wanted = [s for s in sent if fnmatch.fnmatchcase(s.device, "pump-[12]") and s.metric == "t"]
        assert sorted(found.samples) == sorted(wanted)
        assert (found.summary.outcome, found.summary.samples) == ("answered", len(wanted))
        assert found.summary.covered_from == min(s.ts for s in sent)
        assert found.summary.covered_until == max(s.ts for s in sent) + 1
        await eventually(lambda: audits(here))
        (event,) = await audits(here)
        assert (event.asked_by, event.device, event.metrics) == ("ann", "pump-[12]", ["t*"])
        assert (event.outcome, event.samples, event.chunks) == ("answered", len(wanted), found.summary.chunks)
        assert event.bytes == sum(len(record.value or b"") for record in await here.records(SAMPLES))
        for device in devices:
            await asyncio.to_thread(device.link.close)


async def test_a_request_waits_while_the_gateway_is_away_and_is_answered_once(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        async with here.running(recorder=FAST):
            device = await asyncio.to_thread(Device, "d", here.port)
            sent = await reports([device], rounds=5)
            await eventually(lambda: all_rolled_up(here, len(sent)))
            await asyncio.to_thread(device.link.close)
        await ask(here, sent)
        await ask(here, sent)
        for _ in range(2):
            async with here.running(recorder=FAST):
                await eventually(lambda: audits(here))
                await eventually(lambda: answered(here))
        found = await answered(here)
        assert found is not None
        assert sorted(found.samples) == sorted(sent)
        assert len(await audits(here)) == 1


async def test_while_the_log_is_away_the_answer_waits(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        uplink = Uplink(here.log)
        async with here.running(uplink, recorder=FAST):
            device = await asyncio.to_thread(Device, "d", here.port)
            sent = await reports([device], rounds=5)
            await eventually(lambda: all_rolled_up(here, len(sent)))
            uplink.cut()
            await ask(here, sent)
            sent += (await reports([device], rounds=5))[len(sent) :]
            assert await here.records(SAMPLES) == []
            uplink.mend()
            await eventually(lambda: answered(here))
            found = await answered(here)
            assert found is not None
            assert {s for s in sent if s.ts < found.summary.covered_until} == set(found.samples)
            await asyncio.to_thread(device.link.close)


async def test_a_slow_answer_delays_no_live_data(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running(recorder=RecorderConfig(bytes_per_s=50)):
        device = await asyncio.to_thread(Device, "d", here.port)
        sent = await reports([device])
        await eventually(lambda: all_rolled_up(here, len(sent)))
        await ask(here, sent)
        await eventually(lambda: _first_chunk(here))
        sent += (await reports([device]))[len(sent) :]
        await eventually(lambda: all_rolled_up(here, len(sent)))
        # All of the second half has been committed, rolled up and sent, and the answer still takes its time.
        assert await answered(here) is None
        await asyncio.to_thread(device.link.close)


async def _first_chunk(here: Site) -> list[SampleChunk]:
    return [decode_samples(record.value or b"") for record in await here.records(SAMPLES)]


async def test_an_answer_that_fails_ends_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(tmp_path) as here, here.running(recorder=FAST):
        device = await asyncio.to_thread(Device, "d", here.port)
        sent = await reports([device], rounds=3)
        await eventually(lambda: all_rolled_up(here, len(sent)))
        monkeypatch.setattr(Core, "search_turn", _no_more_files)
        await ask(here, sent)
        await eventually(lambda: answered(here))
        found = await answered(here)
        assert found is not None
        assert (found.samples, found.summary.outcome) == ([], "failed")
        monkeypatch.undo()
        sent += (await reports([device], rounds=3))[len(sent) :]
        await ask(here, sent, request="r2")
        await eventually(lambda: answered(here, "r2"))
        await eventually(lambda: all_rolled_up(here, len(sent)))
        assert [event.outcome for event in await audits(here)] == ["failed", "answered"]
        await asyncio.to_thread(device.link.close)


def _no_more_files(*_: object) -> bool:
    raise apsw.CantOpenError("too many open files")


async def test_a_gateway_that_trusts_nobody_answers_nobody(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running(centre_keys=[]):
        await here.log.append([asked(here.centre)])
        device = await asyncio.to_thread(Device, "d", here.port)
        sent = await reports([device], rounds=3)
        await eventually(lambda: all_rolled_up(here, len(sent)))
        assert await here.records(SAMPLES) == []
        assert len(await _asked(here)) == 1
        await asyncio.to_thread(device.link.close)


async def _asked(here: Site) -> list[bytes | None]:
    consumer = await here.log.subscribe([REQUESTS], group=None, member="test")
    try:
        return [record.value for record in await consumer.poll(10, 0.0)]
    finally:
        await consumer.close()
