"""A gateway as a process, watched from beside it: `tidegate tap` and `tidegate edge status`, while it runs and after."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from tests.process_fleet import Talker
from tests.process_house import House
from tests.process_kit import environment, nursery, tidegate, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def lines(*arguments: str) -> AsyncIterator[str]:
    """What a command prints, line by line, from when it is started until it ends by itself."""
    command = [sys.executable, "-m", "compose.cli", *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment())
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            yield line.decode()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def talk(talkers: list[Talker]) -> None:
    while True:
        for talker in talkers:
            talker.say()
        await asyncio.sleep(0.02)


async def tapped(house: House, *arguments: str) -> list[str]:
    return [line async for line in lines("tap", str(house.edge.config), *arguments)]


async def stood(house: House) -> dict[str, Any]:
    code, out, err = await tidegate("edge", "status", str(house.edge.config), "--json")
    assert code == 0, err
    return dict(json.loads(out))


async def test_a_gateway_is_watched_while_it_runs(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start_edge()
        talkers = [Talker(house.site, name, house.broker) for name in ("pump-1", "fan-1")]
        talking = asyncio.create_task(talk(talkers))
        try:
            rows = [json.loads(line) for line in await tapped(house, "--device", "pump*", "--json", "--count", "6")]
            # Those of one commit come by series: on a loaded machine six may all be of one.
            assert {(row["device"], row["metric"]) for row in rows} <= {("pump-1", "a"), ("pump-1", "b")}
            known = {(said.ts, said.metric): said.value for said in talkers[0].said}
            assert all(known[row["ts"], row["metric"]] == row["value"] for row in rows)
            table = [line.split("\t") for line in await tapped(house, "--metric", "b", "--count", "3")]
            assert [(len(row), "b" in row) for row in table] == [(4, True)] * 3
            await until(lambda: _lives(house), "the status knows the talkers", house.told)
            code, text, err = await tidegate("edge", "status", str(house.edge.config))
            assert code == 0, err
            for part in (
                "balanced",
                "last minute",
                "samples/s",
                "journal",
                "outbox",
                "most samples",
                "clocks",
                "pump-1",
            ):
                assert part in text
        finally:
            talking.cancel()
            for talker in talkers:
                talker.close()
        await house.edge.stop()
        found = await stood(house)
        assert (found["live"], found["totals"]["dropped"]) == (None, {})
        assert "no gateway runs" in found["away"]
        code, out, err = await tidegate("tap", str(house.edge.config))
        assert (code, out) == (1, "")
        assert "no gateway runs" in err


async def _lives(house: House) -> bool:
    live = (await stood(house))["live"]
    busy = {talker["device"] for talker in live["talkers_by_bytes"]}
    return live["rates"]["samples_per_s"] > 0 and busy == {"pump-1", "fan-1"}
