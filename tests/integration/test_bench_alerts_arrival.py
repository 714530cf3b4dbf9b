"""From the sample that closes a window to the webhook, in small: the real processes, real Kafka."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from compose.bench.alerts.arrival import measure_arrival
from compose.bench.detect.latency_devices import LatencyPlan
from compose.bench.stand import stand

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.servers("kafka", "mosquitto")
async def test_a_rule_without_for_reaches_the_webhook_and_is_timed(tmp_path: Path) -> None:
    plan = LatencyPlan(devices=30, window_s=2.0, period_s=0.5, learned=1, waves=2, wave=3, lasting=1)
    async with stand(tmp_path, sys.stdout.write) as made:
        figures = await measure_arrival(plan, made)
    assert figures["alert_faults"] == 6
    assert figures["alert_told"] >= 1  # where a machine stands still for a window, its fault may not be said
    assert 0 < figures["alert_p50_ms"] <= figures["alert_p99_ms"]
