"""How soon an alert follows the sample that closes its window, in small: the real processes, real Kafka."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from compose.bench.detect.latency import measure_latency
from compose.bench.detect.latency_devices import LatencyPlan
from compose.bench.stand import stand

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.servers("kafka", "mosquitto")
async def test_devices_that_go_wrong_are_told_of_and_timed(tmp_path: Path) -> None:
    plan = LatencyPlan(devices=100, window_s=1.0, period_s=0.5, past=60, learned=3, waves=2, wave=5, lasting=4)
    async with stand(tmp_path, sys.stdout.write) as made:
        figures = await measure_latency(plan, made)
    assert figures["latency_faults"] == 10
    assert figures["latency_told"] >= 5  # where a machine stands still for some windows, a fault may be too short
    assert 0 < figures["anomaly_latency_p50_s"] <= figures["alert_latency_p50_s"] <= figures["alert_latency_p99_s"]
