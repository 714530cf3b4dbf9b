"""How speed and memory of detection are measured, in small."""

from __future__ import annotations

from compose.bench.detect.speed import MemoryPlan, SpeedPlan, run_memory, run_speed


def test_speed_is_by_windows_of_all_series() -> None:
    done: list[int] = []
    plan = SpeedPlan(series=1_400, per_gateway=700, learned=2, timed=3)
    figures = run_speed(plan, done.append)
    assert sum(done) == plan.learned + plan.timed
    assert figures["speed_series"] == 1_400
    slowest, middle, fastest = (figures[f"rows_per_core_second{end}"] for end in ("_slowest", "", "_fastest"))
    assert 0 < slowest <= middle <= fastest
    assert figures["decode_rows_per_core_second"] > 0


def test_memory_is_what_a_process_with_so_many_series_holds() -> None:
    done: list[int] = []
    plan = MemoryPlan(series=140_000, per_gateway=14_000)
    figures = run_memory(plan, done.append)
    assert sum(done) == 2 * plan.gateways == 20
    assert 139_000 < figures["memory_series"] <= 140_000  # who misses both windows is not known
    # The state of a series alone is tens of bytes; a copy of everything for each would be thousands.
    assert 50 < figures["bytes_per_series"] < 2_000
    assert figures["peak_bytes_per_series"] >= figures["bytes_per_series"]
