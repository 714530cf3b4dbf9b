"""Top talkers and the pace of the last minute, against loops that remember everything."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.live.recent import SPAN_S, Recent
from edge_aggregator.live.talkers import SPAN_MS, Talkers

DEVICES = 4
commits = st.lists(
    st.tuples(st.integers(0, 90_000), st.lists(st.integers(0, 50), min_size=DEVICES, max_size=DEVICES)), max_size=8
)


@settings(deadline=None)
@given(commits, st.integers(0, 90_000))
def test_talkers_are_what_a_loop_over_all_commits_says(found: list[tuple[int, list[int]]], wait: int) -> None:
    talkers, now, names = Talkers(), 1, [f"d{number}" for number in range(DEVICES)]
    history: list[tuple[int, list[int]]] = []
    for pause, counts in found:
        now += pause
        known = len(counts) if history else 2  # later devices come later
        talkers.note(np.array(counts[:known]), np.array(counts[:known], np.float64) * 100, now)
        history.append((now, counts[:known]))
    now += wait
    naive = [
        sum(math.exp(-(now - at) / SPAN_MS) * counts[d] for at, counts in history if d < len(counts))
        for d in range(DEVICES)
    ]
    listed = talkers.most("samples", names, now, DEVICES)
    assert sorted(talker.device for talker in listed) == [name for name, sent in zip(names, naive, strict=True) if sent]
    for talker in listed:
        expected = naive[int(talker.device[1:])] * 1000 / SPAN_MS
        assert talker.samples_per_s == pytest.approx(expected, abs=1e-3)
        assert talker.bytes_per_s == pytest.approx(100 * expected, abs=0.1)
    rates = [talker.samples_per_s for talker in listed]
    assert rates == sorted(rates, reverse=True)
    assert talkers.most("bytes", names, now, 1) == talkers.most("bytes", names, now, DEVICES)[:1]


def test_talkers_do_not_grow_when_the_clock_is_set_back() -> None:
    talkers = Talkers()
    talkers.note(np.array([60]), np.array([60.0]), 1_000_000)
    talkers.note(np.array([0]), np.array([0.0]), 5)
    assert talkers.most("samples", ["d"], 5, 1)[0].samples_per_s == 1.0


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 9), st.integers(0, 90)), max_size=20), st.floats(0, 80))
def test_rates_are_those_of_the_last_minute(found: list[tuple[float, int, int]], wait: float) -> None:
    recent, now, history = Recent(0.0), 0.0, list[tuple[float, int, int]]()
    for pause, messages, samples in found:
        now += pause
        recent.committed(now, messages, samples)
        history.append((now, messages, samples))
    now += wait
    span = max(1.0, min(SPAN_S, now))
    kept = [one for one in history if one[0] // 1 > now - SPAN_S]
    rates = recent.rates(now)
    assert rates.messages_per_s == pytest.approx(sum(one[1] for one in kept) / span, abs=1e-3)
    assert rates.samples_per_s == pytest.approx(sum(one[2] for one in kept) / span, abs=1e-3)


def test_lag_is_told_of_what_was_closed_lately() -> None:
    recent = Recent(0.0)
    assert recent.lag() is None
    assert recent.acknowledged(5, 10) is None  # backlog of an earlier life
    recent.closed(5, -1)
    assert recent.acknowledged(5, 10) is None
    for number in range(2000):
        recent.closed(number * 1000 + 100, number * 1000)
    assert recent.acknowledged(100, 110) is None
    assert recent.acknowledged(1999_100, 1999_000 + 250) == 0.25
    assert recent.acknowledged(1998_100, 0) == 0.0  # a clock that was set back
    lag = recent.lag()
    assert lag is not None
    assert (lag.newest_s, lag.p99_s) == (0.0, 0.25)
    recent.closed(5_000_000, 5_010_000)  # shown before its end
    assert recent.acknowledged(5_000_000, 5_000_500) == 0.5
