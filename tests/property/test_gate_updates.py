"""The bet on failing updates: no gain where no more fail than is tolerable, whatever came before."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.rollouts.eprocess import binomial
from analytics.rollouts.eprocess.mixture import log10_mixture
from analytics.rollouts.eprocess.stakes import HARM, SAFE
from ingest.contract.events import GuardKind
from tests.examples import examples

shares = st.floats(0.001, 0.999)


def factors(margin: float, effects: np.ndarray, *, harm: bool) -> np.ndarray:
    """The factors of a failure and of a success, shape (2, effects)."""
    of = binomial.worse_than if harm else binomial.better_than
    return np.exp(binomial.log_factors(np.array([True, False]), of(margin, effects), margin))


@given(shares, shares)
def test_a_factors_mean_is_at_most_1_on_the_side_that_it_bets_against(margin: float, probability: float) -> None:
    law = np.array([probability, 1.0 - probability])
    if probability <= margin:
        assert (law @ factors(margin, HARM[GuardKind.UPDATE].effects, harm=True) <= 1.0 + 1e-9).all()
    if probability >= margin:
        assert (law @ factors(margin, SAFE[GuardKind.UPDATE].effects, harm=False) <= 1.0 + 1e-9).all()


@given(st.floats(0.01, 0.5), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
def test_the_mixtures_mean_over_every_outcome_is_at_most_1_for_unlike_devices(
    margin: float, parts: list[float]
) -> None:
    # Each device fails with a probability of its own, up to the margin: all 2^n outcomes are counted.
    mean = 0.0
    for outcome in itertools.product((True, False), repeat=len(parts)):
        failed = np.array(outcome)
        probability = math.prod(p * margin if bad else 1 - p * margin for p, bad in zip(parts, outcome, strict=True))
        logs = binomial.log_factors(failed, binomial.worse_than(margin, HARM[GuardKind.UPDATE].effects), margin)
        mean += probability * 10 ** float(log10_mixture(logs.sum(axis=0)[None], HARM[GuardKind.UPDATE])[0])
    assert mean <= 1.0 + 1e-6


def test_optional_stopping_at_the_best_time_keeps_the_error() -> None:
    chance, runs, margin = np.random.default_rng(7), examples(400), 0.05
    mixed = HARM[GuardKind.UPDATE]
    failed = chance.random((runs, 300)) < margin
    crossed = 0
    for one in failed:
        logs = np.cumsum(binomial.log_factors(one, binomial.worse_than(margin, mixed.effects), margin), axis=0)
        crossed += float(log10_mixture(logs, mixed).max()) >= math.log10(20.0)
    assert crossed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
