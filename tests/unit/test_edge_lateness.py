"""Lateness delays revisions, never the first emission: a window is shipped when its device has moved on, whatever may come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge_bench import T0, Bench, Sample, edge_config, message, rows

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0


def shipped(bench: Bench) -> list[tuple[int, int, int]]:
    """Seconds from the beginning of the story, revision and count of every window in the outbox, in order."""
    return [
        ((window.start - T0) // 1000, revision, numbers.count)
        for batch in bench.batches()
        for revision, window, numbers in rows(batch)
    ]


def say(bench: Bench, second: float, at: float) -> None:
    bench.take([message(Sample("d", "m", T0 + round(second * 1000), 1.0))], T0 + round(at * 1000))


@pytest.mark.parametrize("lateness_s", [0.0, 60.0, DAY_S])
def test_the_first_emission_waits_for_no_lateness(tmp_path: Path, lateness_s: float) -> None:
    bench = Bench(edge_config(tmp_path, allowed_lateness_s=lateness_s, heartbeat_s=DAY_S))
    for second in (1, 5, 9):
        say(bench, second, at=second)
    bench.flush(T0 + 9_999)
    assert shipped(bench) == []
    say(bench, 10, at=10)  # the device's first sample after the window's end
    bench.flush(T0 + 10_001)
    assert shipped(bench) == [(0, 0, 3)]
    bench.close()


def test_what_comes_late_is_a_revision_at_the_next_flush(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path, heartbeat_s=DAY_S))
    say(bench, 1, at=1)
    say(bench, 3600, at=3600)
    bench.flush(T0 + 3_600_001)
    say(bench, 2, at=3601)
    bench.flush(T0 + 3_601_001)
    assert shipped(bench) == [(0, 0, 1), (0, 1, 2)]
    bench.close()


def test_a_device_that_is_late_holds_up_no_other(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path, heartbeat_s=DAY_S))
    bench.take([message(Sample("slow", "m", T0 + 1000, 1.0))], T0 + 1000)
    for second in (1, 11):
        say(bench, second, at=second)
    bench.flush(T0 + 11_001)
    (batch,) = bench.batches()
    assert [row.device for row in batch.devices] == ["d"]
    bench.close()
