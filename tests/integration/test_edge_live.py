"""The local socket of a running gateway: status and taps, for its own user, at nobody's cost."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from edge_aggregator.live import taps
from edge_aggregator.live.client import NotRunningError, ask, live_status
from edge_aggregator.live.protocol import FILE_NAME, Question, socket_address
from edge_aggregator.status import status
from tests.edge_site import Site, site
from tests.integration.test_edge_service import Device, all_rolled_up, eventually, reports

if TYPE_CHECKING:
    from pathlib import Path


class Watcher:
    """Reads a tap in a thread of its own."""

    def __init__(self, folder: Path, most: int, **question: Any) -> None:
        self._folder, self._most, self._question = folder, most, Question(ask="tap", **question)

    def rows(self) -> list[dict[str, Any]]:
        found = []
        for line in ask(self._folder, self._question, timeout_s=60.0):
            found.append(json.loads(line))
            if len(found) == self._most:
                break
        return found


async def opened(here: Site, count: int = 1) -> None:
    await eventually(lambda: _taps(here, count))


async def _taps(here: Site, count: int) -> bool:
    return len(here.edge._core.taps if here.edge._core else ()) == count


async def test_a_tap_shows_what_is_acknowledged_and_wanted(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running():
        devices = [await asyncio.to_thread(Device, name, here.port) for name in ("pump-1", "fan-1")]
        first = await reports(devices, rounds=1)
        await eventually(lambda: all_rolled_up(here, len(first)))
        watching = asyncio.create_task(
            asyncio.to_thread(Watcher(tmp_path / "edge", 5, device="pump-*", metrics=["n"]).rows)
        )
        await opened(here)
        sent = (await reports(devices, rounds=6))[: 2 * 7]
        wanted = [s for s in sent if s.device == "pump-1" and s.metric == "n"][1:]
        expected = [{"ts": s.ts, "device": s.device, "metric": "n", "labels": {}, "value": s.value} for s in wanted]
        assert await watching == expected[:5]
        await opened(here, 0)
        assert stat.S_IMODE((tmp_path / "edge" / FILE_NAME).stat().st_mode) == 0o600
        for device in devices:
            await asyncio.to_thread(device.link.close)
    assert not (tmp_path / "edge" / FILE_NAME).exists()


async def test_who_does_not_read_loses_lines_and_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taps, "MOST_PER_S", 20)
    async with site(tmp_path) as here, here.running():
        device = await asyncio.to_thread(Device, "d", here.port)
        with socket_address(tmp_path / "edge") as address:
            idle = socket.socket(socket.AF_UNIX)
            idle.connect(address)
            idle.sendall(b'{"ask":"tap"}\n')
        await opened(here)
        for _ in range(10):
            device.report(**{f"m{number}": float(number) for number in range(50)})
        sent = device.sent
        await eventually(lambda: all_rolled_up(here, len(sent)))
        tap = here.edge._core.taps._taps[0] if here.edge._core else None
        assert tap is not None
        assert 0 < tap.posted < len(sent)
        assert tap.posted + tap.missed == len(sent)
        idle.close()
        await opened(here, 0)
        await asyncio.to_thread(device.link.close)


async def test_taps_are_bounded_and_nonsense_is_no_question(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running():
        folder = tmp_path / "edge"
        with socket_address(folder) as address:
            links = [socket.socket(socket.AF_UNIX) for _ in range(taps.MOST_TAPS)]
            for link in links:
                link.connect(address)
                link.sendall(b'{"ask":"tap"}\n')
        await opened(here, taps.MOST_TAPS)
        assert "as many taps" in (await asyncio.to_thread(Watcher(folder, 1).rows))[0]["error"]
        for nonsense in (b"\n", b"{}\n", b'{"ask":"format"}\n', b"\xff\n", b"x" * 100_000):
            assert await asyncio.to_thread(_said, folder, nonsense) == b""
        found = await asyncio.to_thread(live_status, folder)
        assert found.taps == taps.MOST_TAPS
        for link in links:
            link.close()


def _said(folder: Path, question: bytes) -> bytes:
    with socket_address(folder) as address, socket.socket(socket.AF_UNIX) as link:
        link.settimeout(90.0)
        link.connect(address)
        try:
            link.sendall(question)
            link.shutdown(socket.SHUT_WR)
            return link.recv(1000)
        except (ConnectionResetError, BrokenPipeError):
            return b""


async def clocks_are_known(devices: list[Device], folder: Path) -> bool:
    # They are estimated anew after every five seconds of samples.
    for device in devices:
        device.report(a=1.0)
    found = await asyncio.to_thread(live_status, folder)
    return {clock.device for clock in found.clocks_ahead} == {"pump-1", "fan-1"}


async def test_the_status_of_a_running_gateway(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        async with here.running():
            devices = [await asyncio.to_thread(Device, name, here.port) for name in ("pump-1", "fan-1")]
            sent = await reports(devices, rounds=4)
            for _ in range(6):
                devices[1].report(a=1.0, b=2.0, c=3.0)
            sent = [sample for device in devices for sample in device.sent]
            await eventually(lambda: all_rolled_up(here, len(sent)))
            found = await asyncio.to_thread(live_status, tmp_path / "edge")
            assert found.rates.samples_per_s == pytest.approx(len(sent) / max(1.0, found.up_s), rel=0.5)
            assert [talker.device for talker in found.talkers_by_samples] == ["fan-1", "pump-1"]
            assert [talker.device for talker in found.talkers_by_bytes] == ["fan-1", "pump-1"]
            assert all(abs(clock.ahead_ms) < 60_000 for clock in found.clocks_ahead)
            assert list(found.receivers.values()) == ["connected"]
            assert found.lag is not None
            assert 0 <= found.lag.newest_s < 60
            assert (found.not_ready, found.open_samples, found.quarantined) == ({}, 0, 0)
            await eventually(lambda: clocks_are_known(devices, tmp_path / "edge"))
            for device in devices:
                await asyncio.to_thread(device.link.close)
        with pytest.raises(NotRunningError, match="no gateway runs with"):
            live_status(tmp_path / "edge")
        assert (status(tmp_path / "edge").quarantined_blocks, status(tmp_path / "edge").requests_waiting) == (0, 0)


async def test_a_gateway_stops_whoever_watches(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        async with here.running():
            watching = asyncio.create_task(asyncio.to_thread(Watcher(tmp_path / "edge", 1_000_000).rows))
            await opened(here)
        assert await watching == []


async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    async with site(tmp_path) as here, here.running(data_dir=str(tmp_path / ("x" * 120))):
        found = await asyncio.to_thread(live_status, tmp_path / ("x" * 120))
        assert found.up_s >= 0
