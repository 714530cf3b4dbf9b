"""The wave of `tidegate bench gate` goes through the real parts, in small: centre, gateway, Mosquitto, devices and back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from compose.bench.gate import fanout
from compose.bench.load import BenchFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from compose.stack.endpoints import MqttEndpoint
    from tests.servers import RunningServer


@pytest.mark.servers
async def test_every_command_of_a_wave_is_published_and_answered(
    mosquitto: RunningServer[MqttEndpoint],
    tmp_path: Path,
) -> None:
    found = await fanout.measure(fanout.FanoutLoad(devices=30, waves=1, singles=2), tmp_path)
    assert all(figure > 0 for figure in found)
    assert not os.listdir(tmp_path), "a bench leaves nothing behind"  # noqa: PTH208 - not in an async function


@pytest.mark.servers
async def test_a_bench_that_takes_too_long_ends_with_an_error_and_leaves_nothing_behind(
    mosquitto: RunningServer[MqttEndpoint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "WHOLE_S", 0.05)
    with pytest.raises(BenchFailedError, match=r"not done after 0\.05 s"):
        await fanout.measure(fanout.FanoutLoad(devices=30, waves=1, singles=2), tmp_path)
    assert not os.listdir(tmp_path)  # noqa: PTH208 - not in an async function
