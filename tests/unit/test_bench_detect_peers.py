"""What users would pick, in small: each says something of an outlier, knows nothing of what comes, and is scored as ours is."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors.together import YOUNG
from compose.bench.detect.peer_detectors import FOR_ROWS, FOR_SERIES
from compose.bench.detect.peers import AS_TOLD, CONTESTS, OURS, WHOLE, measure_peer, run_peers
from compose.bench.detect.sets import Recording

NAB = CONTESTS["nab"]


def recording(name: str, rows: int, seed: int) -> Recording:
    values = np.random.default_rng(seed).normal(10, 1, rows)
    event = rows * 3 // 4
    values[event : event + 5] += 12
    times = np.arange(rows, dtype=np.int64) * 60_000
    return Recording(name, ("value",), times, values[:, None], np.array([[event - 10, event + 10]]))


def pump(name: str, seed: int, unscored: int = 0) -> Recording:
    """Three metrics, of which one goes wrong for the last sixty of 700 rows."""
    values = np.random.default_rng(seed).normal(10, 1, (700, 3))
    values[640:, 1] += 8
    times = np.arange(700, dtype=np.int64) * 1000
    return Recording(name, ("a", "b", "c"), times, values, np.array([[640, 699]]), unscored)


@pytest.mark.parametrize("name", FOR_SERIES)
def test_a_peer_tells_an_outlier_from_noise(name: str) -> None:
    found = measure_peer(NAB, name, [recording(f"{NAB.small}/one", 400, seed) for seed in range(2)])
    assert found["points_per_core_second"] > 0
    # Half-space trees of 250 points have hardly begun, and to a forest of 60 the ends of what is usual are as lonely as
    # what is beyond; whoever looks at how far a value is off must find it.
    assert found["nab_standard"] > (0 if name in {"river_half_space_trees", "isolation_forest"} else 50)


@pytest.mark.parametrize("name", FOR_ROWS)
@pytest.mark.parametrize(("contest", "figure"), [("skab", "skab_auc_pr"), ("smd", "smd_vus_pr")])
def test_a_peer_is_scored_as_the_set_is_on_all_metrics(contest: str, figure: str, name: str) -> None:
    files = [pump("one", 1, unscored=300 if contest == "smd" else 0)]
    found = measure_peer(CONTESTS[contest], name, files)
    assert found.keys() == {figure, "points_per_core_second"}
    assert found["points_per_core_second"] > 0
    chance = CONTESTS[contest].figures(files, [np.random.default_rng(1).random(700)])
    # A z-score of the last hour learns the fault while it lasts.
    assert found[figure] > 1.3 * chance[figure]


@pytest.mark.parametrize("name", FOR_ROWS)
def test_what_comes_later_changes_no_score_of_a_peer(name: str) -> None:
    values = pump("one", 4).values
    whole, part = (FOR_ROWS[name].score(values[:rows], YOUNG) for rows in (len(values), 645))
    assert whole.shape == (len(values),)
    np.testing.assert_array_equal(whole[: len(part)], part)


def test_detectors_of_one_metric_are_put_together_by_the_greatest_and_by_the_mean() -> None:
    values = pump("one", 6).values
    alone = np.array([FOR_SERIES["prometheus_z"].score(values[:, [n]], 0) for n in range(3)])
    np.testing.assert_array_equal(FOR_ROWS["prometheus_z"].score(values, 0), alone.max(axis=0))
    np.testing.assert_allclose(FOR_ROWS["prometheus_z_mean"].score(values, 0), alone.mean(axis=0), rtol=1e-12)


def test_a_forest_says_nothing_of_the_rows_that_it_was_fitted_on() -> None:
    found = FOR_ROWS["isolation_forest"].score(pump("one", 7).values, YOUNG)
    assert (found[:YOUNG] == 0).all()
    assert np.median(found[YOUNG:640]) < found[640:].min()


def test_a_peer_says_the_same_again() -> None:
    files = [recording(f"{NAB.small}/one", 300, 5)]
    for name in FOR_SERIES:
        one, again = (measure_peer(NAB, name, files) for _ in range(2))
        assert {k: v for k, v in one.items() if k.startswith("nab")} == {
            k: v for k, v in again.items() if k.startswith("nab")
        }


def test_the_slow_ones_get_the_small_part_only() -> None:
    done: list[int] = []
    files = [recording(f"{NAB.small}/one", 300, 1), recording("realTweets/two", 300, 2)]
    found = run_peers(NAB, files, done.append)["peers"]
    assert found[WHOLE].keys() == {OURS, AS_TOLD} | {name for name, peer in FOR_SERIES.items() if not peer.slow}
    assert found[NAB.small].keys() == FOR_SERIES.keys() | {OURS, AS_TOLD}
    assert sum(done) == NAB.runs()


def test_on_sets_of_several_metrics_all_get_all_and_ours_is_in_the_same_run() -> None:
    done: list[int] = []
    found = run_peers(CONTESTS["skab"], [pump("one", 1)], done.append)["peers_skab"]
    assert found.keys() == {WHOLE}
    assert found[WHOLE].keys() == FOR_ROWS.keys() | {OURS, AS_TOLD}
    assert min(found[WHOLE][ours]["skab_auc_pr"] for ours in (OURS, AS_TOLD)) > 0.8
    assert sum(done) == CONTESTS["skab"].runs() == 2 + len(FOR_ROWS)
