"""The scores that detection is measured by are those that their fields publish."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.bench.detect.nab_score import PROFILES, join, probation, rows_of, sweep
from compose.bench.detect.retrieval import average_precision, count_episodes, first_ranked_right
from compose.bench.detect.sets import read_nab
from compose.bench.detect.vus import runs, vus_pr

DATA = Path("../shared/data")

# Computed with PyPI's `vus` 0.0.5, metricor().RangeAUC_volume_opt(labels, scores, window, 250), on the rows of `_softened`.
GOLDEN_VUS = {(400, 1, 20): 0.6410148972361158, (900, 2, 50): 0.3897977344160495, (300, 3, 7): 0.3832527638564815}


def _softened(length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.zeros(length, np.int64)
    for begin in rng.integers(0, length - 30, 6):
        labels[begin : begin + rng.integers(1, 30)] = 1
    if seed == 3:
        labels[-5:] = labels[0] = 1
    scores = rng.normal(size=length) + labels
    return labels.astype(np.bool_), np.round(scores, 1) if seed == 2 else scores


@pytest.mark.parametrize(("length", "seed", "window"), GOLDEN_VUS)
def test_vus_pr_is_that_of_the_vus_package(length: int, seed: int, window: int) -> None:
    labels, scores = _softened(length, seed)
    assert math.isclose(vus_pr(labels, scores, window), GOLDEN_VUS[length, seed, window], rel_tol=1e-9)


def _windowed_gaussian(values: np.ndarray, most: int = 6400, slide: int = 100) -> np.ndarray:
    """The benchmark's own textbook detector: the normal tail beyond a value, by a window of the past that slides in steps."""
    scores, first, last = np.zeros(len(values)), 0, 0
    mean, deviation = 0.0, 1.0
    for at, value in enumerate(values):
        if last > first:
            scores[at] = 1.0 - 0.5 * math.erfc(abs(value - mean) / deviation / 1.4142)
        grows = last - first < most
        if grows or at + 1 - last == slide:
            first, last = (first, last + 1) if grows else (first + slide, last + slide)
            mean, deviation = values[first:last].mean(), values[first:last].std() or 1e-6
    return scores


@pytest.mark.whole
def test_a_known_detector_gets_the_nab_score_that_is_published_for_it() -> None:
    if not (DATA / "nab").exists():
        sys.stderr.write(f"{DATA}/nab is not there: the published NAB scores were not compared")
        return
    files = read_nab(DATA / "nab")
    rows = join([rows_of(len(file.times), [(int(a), int(b)) for a, b in file.events]) for file in files])
    # The published results were written with twelve decimals.
    scores = np.concatenate([_windowed_gaussian(f.values[:, 0])[probation(len(f.times)) :] for f in files]).round(12)
    found = [round(sweep(rows, scores, profile).best(), 2) for profile in PROFILES.values()]
    assert found == [39.65, 20.87, 47.41]


def test_saying_nothing_scores_0_and_the_first_row_of_each_window_100() -> None:
    rows = rows_of(2000, [(700, 799), (1500, 1649)])
    first = np.zeros(2000)
    first[[700, 1500]] = 1.0
    for profile in PROFILES.values():
        assert sweep(rows, np.zeros(2000)[300:], profile).at(0.5) == 0.0
        assert math.isclose(sweep(rows, first[300:], profile).best(), 100.0)


ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=20, max_size=60)


@given(ROWS)
def test_the_sweep_scores_each_threshold_as_a_plain_loop_does(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    windows = [(int(a), int(b)) for a, b in runs(labels) if b > a >= probation(len(rows))]
    scored = rows_of(len(rows), windows)
    if not windows:
        return
    first = probation(len(rows))
    for profile in PROFILES.values():
        swept = sweep(scored, scores[first:], profile)
        for threshold in set(scores[first:].tolist()):
            assert math.isclose(swept.at(threshold), _plain(scores, windows, first, threshold, profile), abs_tol=1e-9)


def _plain(scores: np.ndarray, windows: list[tuple[int, int]], first: int, threshold: float, profile: object) -> float:
    found, outside, missed = profile  # type: ignore[misc]
    sigmoid = lambda x: -1.0 if x >= 3 else 2 / (1 + math.exp(5 * x)) - 1  # noqa: E731
    best, cost = [-missed] * len(windows), 0.0
    for at in range(first, len(scores)):
        if scores[at] < threshold:
            continue
        inside = [n for n, (a, b) in enumerate(windows) if a <= at <= b]
        before = [(a, b) for a, b in windows if b < at]
        if inside:
            a, b = windows[inside[0]]
            earned = sigmoid(-(b - at + 1) / (b - a + 1)) * found / sigmoid(-1)
            best[inside[0]] = max(best[inside[0]], earned)
        else:
            cost += outside * (sigmoid((at - before[-1][1]) / (before[-1][1] - before[-1][0])) if before else -1.0)
    nothing = -missed * len(windows)
    return 100 * (sum(best) + cost - nothing) / (found * len(windows) - nothing)


@given(ROWS)
def test_average_precision_is_the_sum_over_thresholds(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        predicted = scores >= threshold
        hits = int((predicted & labels).sum())
        recall = hits / max(1, int(labels.sum()))
        area += (recall - recall_before) * hits / int(predicted.sum())
        recall_before = recall
    assert math.isclose(average_precision(labels, scores), area, abs_tol=1e-12)


def test_an_episode_counts_where_it_begins_and_each_one_counts() -> None:
    alert = np.zeros(100, np.bool_)
    alert[[5, 30, 33, 34, 49, 50, 51]] = True  # one in the first rows, two inside, one that begins just before
    counted = count_episodes(alert, np.array([[30, 40], [50, 60], [80, 90]]), first=10)
    assert counted == (3, 1, 3, 2)
    assert math.isclose(counted.f1(), 2 * (2 / 3) * (1 / 3) / (2 / 3 + 1 / 3))
    assert (counted + counted).f1() == counted.f1()


def test_the_first_ranked_metric_is_right_when_it_is_a_cause() -> None:
    assert first_ranked_right([1, 2, 3, 4], [{1}, {5, 2}, {4}, set()]) == 0.5
