"""Disks that are full or read-only: the process ends, what it had acknowledged is there when there is room again.

The disks are real ones where this system lets one be mounted (some containers forbid user namespaces), and everywhere the
next best: files that may not grow, and a folder without permission to write.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from compose.stack.ports import free_port
from ingest.contract.topics import every_topic
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key
from tests.faults.test_edge_kill import (
    CLOCK,
    Device,
    Gateway,
    all_that_was_sent,
    close_all,
    judge,
    shipped,
)
from tests.limited_files import LimitedFiles
from tests.mqtt_intake import until
from tests.small_disk import SmallDisk, allowed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1024


KINDS = [LimitedFiles, SmallDisk] if allowed() else [LimitedFiles]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk | LimitedFiles]:
    disk = request.param(tmp_path / "edge", 600 * KIB)
    yield disk
    disk.close()


async def load(gateway: Gateway, devices: list[Device]) -> int:
    """Until the process ends by itself; how it ended."""
    ending = asyncio.create_task(asyncio.to_thread(gateway.ended))
    while not ending.done():
        for device in devices:
            device.report()
        await asyncio.sleep(0.01)
    return ending.result()


@pytest.mark.whole
async def test_a_full_disk_loses_nothing_that_was_acknowledged(
    tmp_path: Path, disk: SmallDisk | LimitedFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    generate_private_key(tmp_path / "gateway.pem")
    log = SqliteLog(tmp_path / "log.db", CLOCK)
    await log.ensure_topics(every_topic())
    port = free_port()
    gateway = Gateway(tmp_path, port, disk.entering())
    devices = [Device(f"d{number}", port, random.Random(number)) for number in range(5)]
    try:
        # Once it has ended, its write-ahead logs are folded in: that leaves a little room for the next time.
        for size in (600, 600, 1200, 1200):
            disk.resize(size * KIB)
            gateway.start()
            assert await load(gateway, devices) == 1
        assert any(device.acknowledged for device in devices)
        assert not any(device.settled() for device in devices)
        assert "free or replace the disk, then start again" in capfd.readouterr().err
        disk.resize(64 * KIB * KIB)
        gateway.start()
        sent = await all_that_was_sent(gateway, devices, log)
    finally:
        close_all(gateway, devices)
    judge(await shipped(log), sent)
    await log.close()


async def test_on_a_disk_that_cannot_be_written_it_does_not_start(
    tmp_path: Path, disk: SmallDisk | LimitedFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    generate_private_key(tmp_path / "gateway.pem")
    log = SqliteLog(tmp_path / "log.db", CLOCK)
    await log.ensure_topics(every_topic())
    port = free_port()
    gateway = Gateway(tmp_path, port, disk.entering())
    device = Device("d", port, random.Random(2))
    disk.resize(64 * KIB * KIB)
    try:
        gateway.start()
        device.report()
        await until(device.settled, "it is acknowledged")
        gateway.kill()
        disk.read_only()
        gateway.start()
        assert await load(gateway, [device]) == 1
        assert "free or replace the disk, then start again" in capfd.readouterr().err
        disk.read_only(so=False)
        gateway.start()
        sent = await all_that_was_sent(gateway, [device], log)
    finally:
        close_all(gateway, [device])
    judge(await shipped(log), sent)
    await log.close()
