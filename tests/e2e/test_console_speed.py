"""How soon the console shows ten thousand devices, what travels until then, and that it stays smooth; bounds leave room for a loaded machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from compose.bench.api.first_paint import measure
from ingest.contract.events import DeviceState
from tests.api_centre import Centre, running
from tests.api_records import Gateway

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers("chromium")

SITES = [Gateway("acme", f"site-{number}") for number in range(10)]
FLEET = 10_000


async def _change(centre: Centre) -> None:
    number = 0
    while True:
        await asyncio.sleep(0.1)
        number += 1
        state = DeviceState.SILENT if number % 2 else DeviceState.ONLINE
        await centre.put(SITES[number % 10].device(f"pump-{number % 1000:04d}", at=centre.clock.now_ms(), state=state))


async def test_ten_thousand_devices_are_shown_soon_in_few_bytes_and_stay_smooth(tmp_path: Path) -> None:
    async with running(Centre(tmp_path, SITES)) as centre:
        for site in SITES:
            await centre.put(*(site.device(f"pump-{number:04d}") for number in range(FLEET // 10)))
        await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == FLEET)
        changing = asyncio.create_task(_change(centre))
        try:
            port = int(centre.api.address.rpartition(":")[2])
            found = await measure(port, centre.tokens["acme"].token, runs=2, watched_s=3.0)
        finally:
            changing.cancel()
            await asyncio.gather(changing, return_exceptions=True)
    assert found.first_paint_kb <= 300
    # The bars, 500 ms and 100 ms, are the bench's: here other tests share the machine, and the API the test's own loop.
    assert found.first_paint_ms < 20_000
    assert found.longest_task_ms < 2_000
