"""SIGHUP at a real gateway: windows that were open are completed, and what cannot be taken changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import msgspec

from compose.fleet.link import DeviceLink
from compose.processes.config import EdgeProcess, LoggingConfig
from edge_aggregator.config import MetricConfig
from edge_aggregator.rules.config import RuleConfig
from edge_aggregator.status import status
from ingest.contract.batch_wire import decode_batch
from ingest.contract.topics import ROLLUPS, device_topic, every_topic
from ingest.runtime.config import load_config
from ingest.runtime.observe import ObserveConfig
from tests.edge_bench import final_rollups
from tests.process_house import SITE, House
from tests.process_kit import nursery, toml, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.process_kit import Worker

OLD_S, NEW_S = 30.0, 1.0
REPORTS = 200


def rewrite(worker: Worker, *, other: dict[str, Any] | None = None, **edge: Any) -> None:
    config = load_config(worker.config, EdgeProcess)
    config = msgspec.structs.replace(config, **(other or {}), edge=msgspec.structs.replace(config.edge, **edge))
    worker.config.write_text(toml(config))


async def started(house: House) -> None:
    log = house.log()
    await log.ensure_topics(every_topic())
    await log.close()
    house.edge.start()
    await house.edge.ready()


async def reloaded(worker: Worker, result: str) -> None:
    """SIGHUP, and what became of it."""
    key = ("tidegate_config_reloads_total", (("result", result),))
    before = (await worker.metrics()).get(key, 0.0)
    os.kill(worker.pid, signal.SIGHUP)

    async def counted() -> bool:
        return (await worker.metrics()).get(key, 0.0) == before + 1

    await until(counted, f"a reload is {result}", worker.told)


async def report(house: House, numbers: range, begin: int) -> None:
    def say() -> None:
        link = DeviceLink(house.broker, "d", device_topic(SITE, "d", "command"), lambda _: None)
        link.connect()
        for number in numbers:
            body = msgspec.json.encode({"ts": begin + number * 500, "metrics": {"t": number, "n": 1}})
            link.publish(device_topic(SITE, "d", "telemetry"), body)
        while link.unacknowledged():
            time.sleep(0.01)
        link.close()

    await asyncio.to_thread(say)


async def test_windows_that_are_open_are_completed_after_a_reload(tmp_path: Path) -> None:
    async with House(tmp_path, nursery(), edge_changes={"window_s": OLD_S, "idle_close_s": 5.0}) as house:
        edge, folder = house.edge, load_config(house.edge.config, EdgeProcess).edge.data_dir
        await started(house)
        begin = house.clock.now_ms() // 30_000 * 30_000 - 150_000
        await report(house, range(REPORTS // 4), begin)  # to the middle of a window
        rule = RuleConfig(name="many", metric="t", above=1.0)
        metrics = [MetricConfig(metric="n", width_s=NEW_S * 2)]
        rewrite(edge, window_s=NEW_S, metrics=metrics, rules=[rule], other={"logging": LoggingConfig(level="info")})
        await reloaded(edge, "applied")
        assert "the configuration is reloaded: edge.window_s, edge.metrics, edge.rules, logging" in edge.told()
        await report(house, range(REPORTS // 4, REPORTS), begin)

        async def fires() -> bool:
            return (await edge.metrics()).get(("tidegate_edge_alarms", (("rule", "many"), ("state", "firing")))) == 1

        await until(fires, "the new rule fires", edge.told)

        async def closed() -> bool:
            found = await asyncio.to_thread(status, folder_path)
            return found.totals.rolled_up == 2 * REPORTS and found.outbox_records == 0

        folder_path = type(tmp_path)(folder)
        await until(closed, "all windows have closed", lambda: status(folder_path).totals)
        assert await edge.stop() < 10
        log = house.log()
        consumer = await log.subscribe([ROLLUPS], group=None, member="test")
        batches = [decode_batch(record.value or b"") for record in await consumer.poll(10_000, 1.0)]
        await consumer.close()
        await log.close()
        found = {(w.metric, w.start, w.width): n.count for w, n in final_rollups(batches).items()}
        for metric, width in (("t", NEW_S), ("n", 2 * NEW_S)):
            counts = [(s, w, c) for (name, s, w), c in sorted(found.items()) if name == metric]
            assert sum(count for *_, count in counts) == REPORTS
            assert counts[0] == (begin, 30_000, 60)  # the window that was open is whole
            assert counts[-1][1] == round(width * 1000)


async def test_what_cannot_be_taken_changes_nothing(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        edge = house.edge
        await started(house)
        good = edge.config.read_text()
        await reloaded(edge, "unchanged")
        edge.config.write_text(good + "[edge\n")
        await reloaded(edge, "broken")
        assert "not reloaded, the one before it stays in force" in edge.told()
        edge.config.write_text(good.replace("window_s", "windw_s"))
        await reloaded(edge, "broken")
        assert "did you mean `window_s`" in edge.told()
        rewrite_from(edge, good, gateway="another", window_s=7.0)
        await reloaded(edge, "refused")
        assert "edge.gateway cannot change while it runs" in edge.told()
        rewrite_from(edge, good, other={"observe": ObserveConfig(port=1)})
        await reloaded(edge, "refused")
        assert "observe cannot change while it runs" in edge.told()
        edge.config.write_text(good)
        await reloaded(edge, "unchanged")  # window_s of the refused file was not taken either
        assert await edge.reasons() == {}
        assert await edge.stop() < 10


def rewrite_from(worker: Worker, text: str, **changes: Any) -> None:
    worker.config.write_text(text)
    rewrite(worker, **changes)
