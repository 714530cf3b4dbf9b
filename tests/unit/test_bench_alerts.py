"""`tidegate bench alerts`, the rows that need no server, in small."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from compose.bench.detect.latency_devices import LatencyPlan
from compose.cli.bench import bench
from compose.cli.bench_alerts import missed

if TYPE_CHECKING:
    from pathlib import Path


def test_rules_are_judged_and_a_storm_is_told_in_few_requests(tmp_path: Path) -> None:
    rows = ["--only", "evaluations", "--only", "storm"]
    told = CliRunner().invoke(bench, ["alerts", "--quick", *rows, "--dir", str(tmp_path), "--json"])
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout.splitlines()[-1])
    assert (figures["evaluations_series"], figures["evaluations_rules"]) == (10_000, 20)
    assert figures["evaluations_findings"] > 0
    assert figures["storm_told"] == figures["storm_faults"] == 300
    assert figures["storm_requests"] < 30
    assert not list(tmp_path.iterdir())


def test_bars_that_are_missed_are_named() -> None:
    good = {"alert_p99_ms": 1500, "alert_faults": 3, "alert_told": 3, "evaluations_per_core_second": 50e6}
    assert missed(good) == []
    late = good | {"alert_p99_ms": 1501, "alert_told": 2, "evaluations_per_core_second": 1}
    assert [line.split(":")[0] for line in missed(late)] == [
        "alert_p99_ms",
        "evaluations_per_core_second",
        "alert_told",
    ]
    assert missed(good | {"storm_faults": 2, "storm_told": 1}) == ["storm_told: 1 of 2"]


def test_waves_are_of_those_that_speak_first_or_of_all_of_the_period() -> None:
    first = LatencyPlan(devices=100, waves=3, wave=5)
    assert [first.wave_of(device) for device in range(100)] == [n // 5 for n in range(15)] + [-1] * 85
    spread = [first._replace(spread=True).wave_of(device) for device in range(100)]
    for wave in range(3):
        theirs = [device for device, its in enumerate(spread) if its == wave]
        assert len(theirs) == 5
        assert max(theirs) - min(theirs) > 60
