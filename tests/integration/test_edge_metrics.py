"""What `/metrics` and `/readyz` of a running gateway say: fill, age of what waits, lag, rejects, and when the uplink is cut."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from compose.embedded.uplink import Uplink
from ingest.contract.topics import device_topic
from tests.edge_bench import SITE
from tests.edge_site import Site, site
from tests.integration.test_edge_service import Device, all_rolled_up, eventually, reports

if TYPE_CHECKING:
    from pathlib import Path


def read(here: Site, name: str, **labels: str) -> float:
    return here.telemetry.registry.get_sample_value(name, labels) or 0.0


async def test_a_gateway_tells_how_full_how_fast_and_how_late_it_is(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running(journal_bytes=1 << 28, outbox_bytes=1 << 24):
        device = await asyncio.to_thread(Device, "d", here.port)
        sent = await reports([device])
        device.link.publish(device_topic(SITE, "d", "telemetry"), b'{"metrics": {"t": "hot"}}')
        await eventually(lambda: all_rolled_up(here, len(sent)))
        await eventually(lambda: _told(here, "tidegate_edge_lag_seconds_count"))
        assert read(here, "tidegate_edge_limit_bytes", room="journal") == 1 << 28
        assert read(here, "tidegate_edge_limit_bytes", room="outbox") == 1 << 24
        assert 0 < read(here, "tidegate_edge_journal_bytes") < 1 << 28
        assert read(here, "tidegate_edge_sent_bytes_total") > 100
        assert read(here, "tidegate_edge_journal_commit_seconds_count") > 0
        assert read(here, "tidegate_edge_messages_total", receiver=here.edge.receivers[0].name) >= len(sent) / 2
        assert read(here, "tidegate_edge_samples_total", outcome="rejected", reason="not_a_number") == 1
        lags = read(here, "tidegate_edge_lag_seconds_sum") / read(here, "tidegate_edge_lag_seconds_count")
        assert 0 <= lags < 60
        await asyncio.to_thread(device.link.close)


async def test_what_waits_grows_older_while_the_uplink_is_cut(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        uplink = Uplink(here.log)
        async with here.running(uplink):
            await eventually(lambda: _told(here, "tidegate_edge_sent_bytes_total"))
            uplink.cut()
            await eventually(lambda: _older(here, 1.0))
            assert read(here, "tidegate_edge_outbox_records") > 0
            assert "uplink is cut" in " ".join(here.health.reasons().values())
            uplink.mend()
            await eventually(lambda: _ready(here))
            await eventually(lambda: _younger(here, 1.0))


async def _told(here: Site, name: str) -> bool:
    return read(here, name) > 0


async def _older(here: Site, seconds: float) -> bool:
    return read(here, "tidegate_edge_oldest_unsent_seconds") > seconds


async def _younger(here: Site, seconds: float) -> bool:
    return read(here, "tidegate_edge_oldest_unsent_seconds") < seconds


async def _ready(here: Site) -> bool:
    return here.health.reasons() == {}
