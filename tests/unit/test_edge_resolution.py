"""Adaptive resolution through a gateway's core: finer windows while a device is unlike itself, wider ones while it is quiet."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_aggregator.config import MetricConfig
from edge_aggregator.resolution.config import AdaptiveConfig
from edge_aggregator.resolution.scores import Scores
from edge_aggregator.windows.rollups import no_rollups
from tests.edge_bench import T0, Bench, check_ledger, edge_config, rows, telemetry

if TYPE_CHECKING:
    from pathlib import Path

SEED = 11
METRICS = [MetricConfig(metric="calm", quiet_s=60.0), MetricConfig(metric="speed")]


class Site(Bench):
    """Devices that send `speed` and `calm` once a second: normal noise around 50, moved by `shift` from then on."""

    def run(
        self, seconds: range, devices: int = 1, shift: dict[int, float] | None = None, metric: str = "speed"
    ) -> None:
        for first in seconds[::5]:
            messages = []
            for second in range(first, min(first + 5, seconds.stop)):
                values = 50 + np.random.default_rng([SEED, second]).normal(size=devices)
                for device, moved in (shift or {}).items():
                    values[device] += moved
                messages += [
                    telemetry(f"d{n}", {"ts": T0 + second * 1000, "metrics": {metric: value}})
                    for n, value in enumerate(values.tolist())
                ]
            at = T0 + min(first + 5, seconds.stop) * 1000
            self.take(messages, at)
            self.flush(at)

    def widths(self, device: str = "d0") -> list[tuple[int, int]]:
        """Start (s since T0) and width (s) of a device's windows in the order of time; they tile it."""
        batches = self.batches()
        check_ledger(batches)
        found = sorted(
            ((window.start - T0) // 1000, window.width // 1000)
            for batch in batches
            for _, window, _ in rows(batch)
            if window.device == device
        )
        assert all(start + width == after for (start, width), (after, _) in pairwise(found))
        return found


def site(folder: Path, **adaptive: float) -> Site:
    settings = AdaptiveConfig(**{"width_s": 1.0, "dwell_s": 30.0, "longest_s": 120.0, **adaptive})
    return Site(edge_config(folder, heartbeat_s=3600.0, metrics=METRICS, adaptive=settings))


def test_a_device_that_changes_ships_finer_windows_until_it_calms_down(tmp_path: Path) -> None:
    gateway = site(tmp_path)
    gateway.run(range(300), devices=2)
    gateway.run(range(300, 321), devices=2, shift={0: 20.0})
    assert list(gateway.rooms.resolution.raised) == [gateway.rooms.names.find_device("d0")]
    gateway.run(range(321, 420), devices=2)
    assert gateway.rooms.resolution.raised == {}
    widths = gateway.widths()
    assert {width for start, width in widths if start < 310} == {10}
    assert {width for start, width in widths if 320 <= start < 340} == {1}
    assert {width for start, width in widths if start >= 400} == {10}
    assert {width for _, width in gateway.widths("d1")} == {10}
    gateway.close()


def test_what_lasts_is_taken_for_usual(tmp_path: Path) -> None:
    gateway = site(tmp_path)
    gateway.run(range(250))
    gateway.run(range(250, 700), shift={0: 20.0})
    fine = [start for start, width in gateway.widths() if width == 1]
    assert 250 <= min(fine) <= 280
    assert max(fine) <= 420
    assert gateway.rooms.resolution.raised == {}
    gateway.close()


def test_no_more_devices_are_raised_than_allowed_the_highest_scores_first(tmp_path: Path) -> None:
    gateway = site(tmp_path, most_devices=2)
    gateway.run(range(250), devices=5)
    gateway.run(range(250, 261), devices=5, shift={0: 20.0, 1: 40.0, 2: 60.0, 3: 80.0})
    raised = {gateway.rooms.names.devices[device] for device in gateway.rooms.resolution.raised}
    assert raised == {"d2", "d3"}
    gateway.close()


def test_a_restart_keeps_the_widths_and_lets_them_calm_down(tmp_path: Path) -> None:
    gateway = site(tmp_path)
    gateway.run(range(250))
    gateway.run(range(250, 275), shift={0: 20.0})
    gateway.restart()
    gateway.run(range(275, 285), shift={0: 20.0})
    assert [gateway.rooms.names.devices[device] for device in gateway.rooms.resolution.raised] == ["d0"]
    assert (284 - 1, 1) in gateway.widths()
    gateway.run(range(285, 360))
    assert gateway.rooms.resolution.raised == {}
    assert gateway.widths()[-1][1] == 10
    gateway.close()


def test_quiet_windows_become_wider_and_an_event_makes_them_narrow_again(tmp_path: Path) -> None:
    gateway = site(tmp_path, width_s=0.0, band=4.0)
    gateway.run(range(900), metric="calm")
    gateway.run(range(900, 960), metric="calm", shift={0: 30.0})
    gateway.run(range(960, 1100), metric="calm")
    widths = gateway.widths()
    assert widths[0][1] == 10
    assert sum(width == 60 for start, width in widths if start < 900) >= 5
    after = [width for start, width in widths if 960 <= start < 1080]
    assert 10 in after
    totals = gateway.rooms.ledger.totals
    assert totals.rolled_up == sum(int(batch.column("count").sum()) for batch in gateway.batches())
    assert (totals.unaccounted(), totals.dropped) == (0, {})
    gateway.close()


def test_without_being_asked_nothing_changes(tmp_path: Path) -> None:
    gateway = Site(edge_config(tmp_path, heartbeat_s=3600.0))
    gateway.run(range(250))
    gateway.run(range(250, 300), shift={0: 50.0})
    assert {width for _, width in gateway.widths()} == {10}
    assert not gateway.rooms.resolution.wanted
    gateway.close()


def _window(mean: float, spread: float, n: int):  # noqa: ANN202
    one = np.array([1], np.int64)
    zero = np.zeros(1)
    squares = n * (spread * spread + mean * mean)
    return no_rollups()._replace(
        series=one * 0, start=one, width=one * 10_000, samples=one * n, sum=zero + n * mean, sumsq=zero + squares
    )


def test_scores_count_in_noise_and_see_a_spread_that_grows() -> None:
    scores, learn = Scores(), np.ones(1, np.bool_)
    rng = np.random.default_rng(SEED)
    for _ in range(100):
        scores.step(_window(50 + rng.normal() / np.sqrt(10), 1.0, 10), learn)
    quiet, far, wild = (
        scores.step(_window(*window, 10), ~learn)[0] for window in ((50.2, 1.0), (55.0, 1.0), (50.0, 9.0))
    )
    assert quiet < 3
    assert min(far, wild) > 8
    assert scores.step(_window(1e9, 0.0, 10), learn)[0] > 1000
    assert scores.step(_window(50.2, 1.0, 10), learn)[0] < 3


def test_a_constant_may_move_a_little() -> None:
    scores, learn = Scores(), np.ones(1, np.bool_)
    for _ in range(40):
        scores.step(_window(100.0, 0.0, 10), learn)
    assert scores.step(_window(100.05, 0.0, 10), ~learn)[0] < 3
    assert scores.step(_window(110.0, 0.0, 10), ~learn)[0] > 8


@pytest.mark.parametrize("wrong", [{"enter": 2.0}, {"most_devices": 0}, {"longest_s": 1.0}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"expected|at least"):
        AdaptiveConfig(**wrong)
