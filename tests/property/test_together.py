"""All metrics of a device together: against a naive loop, causal, and the same after a restart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.detect.joint import Joint
from analytics.detect.recording_together import detect_together
from analytics.detect.together_alarms import JointAlarms
from analytics.detect.together_pool import JointPool
from analytics.detectors.root_cause import moved, ranked, shares
from analytics.detectors.together import WARM_UP, YOUNG, Together

MINUTE = 60_000
ROWS = 900


def moving_together(seed: int, rows: int = ROWS, metrics: int = 4) -> np.ndarray:
    """Metrics that follow two hidden causes, and a little noise of their own."""
    rng = np.random.default_rng(seed)
    return 50 + rng.normal(size=(rows, 2)) @ rng.normal(size=(2, metrics)) + rng.normal(0, 0.2, (rows, metrics))


def test_devices_side_by_side_are_as_each_alone() -> None:
    several = np.stack([moving_together(seed) for seed in range(3)], axis=1)
    both, each = Together(3, 4), [Together(1, 4) for _ in range(3)]
    for values in several:
        found = both.step(values)
        alone = [one.step(values[[number]]) for number, one in enumerate(each)]
        np.testing.assert_allclose(found.score, [one.score[0] for one in alone], rtol=1e-9)


def test_the_distance_is_that_of_a_loop_over_metrics() -> None:
    values, together = moving_together(5, 160), Together(1, 4)
    for row in values[:-1]:
        together.step(row[None])
    inverse, smooth = together._inverse[:, 0].copy(), together._smooth[:, 0].copy()
    level, scale = together._level[0].copy(), together._scale()[0].copy()
    score = together.step(values[-1][None]).score[0]
    expected = 0.0
    for number, speed in enumerate((1.0, 3.0, 20.0)):
        away = [
            smooth[number][at] + ((values[-1][at] - level[at]) / scale[at] - smooth[number][at]) / speed
            for at in range(4)
        ]
        squared = sum(away[a] * inverse[number][a][b] * away[b] for a in range(4) for b in range(4))
        expected += math.log1p(max(squared / 4, 0.0))
    assert len(values) > WARM_UP
    assert score == pytest.approx(expected, rel=1e-6)


def test_a_recording_has_the_distance_and_the_surprise_of_every_window() -> None:
    values, times = moving_together(6), np.arange(ROWS, dtype=np.int64) * MINUTE
    (found,) = detect_together([(times, values)], width_ms=MINUTE)
    together = Together(1, 4)
    alone = [together.step(row[None]) for row in values]
    assert found is not None
    np.testing.assert_array_equal(found.distance, [one.score[0] for one in alone])
    np.testing.assert_array_equal(found.surprise, [one.surprise[0] for one in alone])


def test_what_comes_later_changes_nothing_before() -> None:
    values, times = moving_together(7), np.arange(ROWS, dtype=np.int64) * MINUTE
    values[700:, 1] += 5
    (whole,), (part,) = (detect_together([(times[:n], values[:n])], width_ms=MINUTE) for n in (ROWS, 720))
    assert whole is not None
    assert part is not None
    for name in ("score", "alert", "entered", "rarity", "moves"):
        assert np.array_equal(getattr(whole, name)[:720], getattr(part, name)), name


@pytest.mark.parametrize("cut", [3, 450, YOUNG + 1, 705])
def test_a_restart_says_the_same(cut: int) -> None:
    values = moving_together(8)
    values[700:, 1] += 5
    pool = JointPool(0.1, MINUTE, members=1)
    whole, part = Joint(4), Joint(4)
    for row, one in enumerate(values[:760]):
        if row == cut:
            part = Joint.restored(part.dump())
        end = (row + 1) * MINUTE
        first, second = whole.step(one, end, pool, 10**9), part.step(one, end, pool, 10**9)
        assert first is not None
        assert second is not None
        assert first[:4] == second[:4]
        assert np.array_equal(first.moves, second.moves)


@given(st.lists(st.floats(0, 60), min_size=1, max_size=60), st.integers(1, 30))
def test_alarms_are_those_of_a_loop(surprises: list[float], patience: int) -> None:
    alarms, asked = JointAlarms(1), 20.0
    found = [
        bool(alarms.step(np.array([one]), np.array([asked]), np.array([at + 1]), 1, patience).alarm[0])
        for at, one in enumerate(surprises)
    ]
    state, calm, since, expected, padded = "quiet", 0, 0, [], [0.0, 0.0, *surprises]
    for at, one in enumerate(surprises):
        calm = calm + 1 if state != "quiet" and one < asked / 2 else 0
        if state == "quiet" and sorted(padded[at : at + 3])[1] >= asked:
            state, since = "alarm", at + 1 - 2
        elif state != "quiet" and calm >= 3:
            state, calm = "quiet", 0
        if state == "alarm" and at + 1 - since >= patience and since != at + 1 - 2:
            state = "accepted"
        expected.append(state == "alarm")
    if patience > 2:
        assert found == expected


def test_the_metric_that_moved_farthest_in_its_range_is_first() -> None:
    before, since = np.array([[0.0, 5.0, 1.0]] * 9), np.array([[1.0, 5.0, 1.0], [3.0, 9.0, 1.0]])
    moves = shares(moved(before, since), np.array([0.0, 0.0, 1.0]), np.array([3.0, 10.0, 1.0]))
    assert moves.tolist() == [1.0, 0.4, 0.0]
    assert ranked(moves) == [0, 1, 2]


def test_a_broken_company_is_found_and_its_cause_named() -> None:
    values, times = moving_together(11), np.arange(ROWS, dtype=np.int64) * MINUTE
    quiet = values.copy()
    # Within its ordinary range, but against what the others do.
    values[700:760, 2] += 3 * values[:600, 2].std()
    (ill,), (well,) = detect_together([(times, values)]), detect_together([(times, quiet)])
    assert ill is not None
    assert well is not None
    assert not well.alert.any()
    (began,) = np.flatnonzero(ill.entered)
    assert 700 <= began <= 703
    assert ranked(ill.moves[720])[0] == 2
    assert ill.score[began] >= 0.5
    assert not ill.alert[-60:].any()


def test_what_lasts_ends_once_and_is_not_told_again() -> None:
    values, times = moving_together(12), np.arange(ROWS, dtype=np.int64) * MINUTE
    values[700:, 0] += 20
    (found,) = detect_together([(times, values)])
    assert found is not None
    assert (found.entered.sum(), found.new_normal.sum()) == (1, 1)
    assert np.flatnonzero(found.new_normal)[0] - np.flatnonzero(found.entered)[0] == pytest.approx(60, abs=3)


@pytest.mark.parametrize("odd", ["constant", "gaps", "infinite", "huge"])
def test_odd_input_alarms_nobody_and_breaks_nothing(odd: str) -> None:
    values = moving_together(13)
    match odd:
        case "constant":
            values[:, 1] = 7
        case "gaps":
            values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
            values[300:400] = np.nan
        case "infinite":
            values[::50, 2] = np.inf
        case _:
            values *= 1e300
    (found,) = detect_together([(np.zeros(ROWS, np.int64), values)])
    assert found is not None
    assert np.isfinite(found.score).all()
    assert not found.alert.any()


def test_five_of_a_class_are_pooled_and_one_metric_has_no_company() -> None:
    times = np.arange(50, dtype=np.int64) * MINUTE
    found = detect_together([(times, moving_together(n, 50)) for n in range(5)], metrics=[["a", "b", "c", "d"]] * 5)
    assert [one.pooled for one in found if one] == [True] * 5
    assert detect_together([(times, np.ones((50, 1)))]) == [None]
