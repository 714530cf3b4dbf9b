"""The stratified rank bet: whose value is this? For soaked device statistics (latencies, gauges) and for counts.

Sources: W. Hoeffding, "Optimum Nonparametric Tests" (1951) for normal scores; T. Lhéritier, F. Cazals, "A Sequential
Non-Parametric Multivariate Two-Sample Test" (2018) for betting on labels; B. Duan, A. Ramdas, L. Wasserman, "Interactive
Rank Testing by Betting" (2022).

Devices come one after the other. Of each we see its value first and its arm only then. Among the devices of its stratum
whose arm has not been shown, the share p is canary: since arms were drawn at random, that is the probability of "canary"
when the release changes no value, whatever the values are. A bet tilts it by how high the value ranks among all values
seen so far in its pool (rank as a normal score s):

    q = p x / (p x + 1 - p),   x = exp(t s - t² (1 - 2p) / 2),

and its factor is q / p when the arm is canary, (1 - q) / (1 - p) when it is control. x is the likelihood ratio of two
normal laws that lie t standard deviations apart and whose mixture is centred, so nothing is lost when the values are normal,
and ranks make it robust when they are not.

Why the product is an e-process (sketch). Given all values and the arms shown so far, the mean of a factor is
p · q/p + (1 - p) · (1 - q)/(1 - p) = 1, whatever q is, as long as q is made of what is known before the arm is shown: the
value itself, earlier values, earlier arms. So the product is a nonnegative martingale under "no value depends on the arm".
Which devices never deliver a value may depend on anything but the arm; a device that leaves takes its arm with it.

Several values of one instant are shown in an order that is scrambled from their enrolment, not one that the arms know.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

_GRID = 1024
_SCORES: Floats = np.array([NormalDist().inv_cdf((i + 0.5) / _GRID) for i in range(_GRID)])
_CHUNK = 128


def log_factors(scores: Floats, canary: Bools, canaries: Ints, controls: Ints, tilts: Floats) -> Floats:
    """Logarithms of the factors, shape (n, tilts), natural.

    `scores` (n,) are normal scores, `canary` (n,) the arms shown, `canaries` and `controls` (n,) how many of the stratum were
    not shown yet, the device itself included. Where only one arm is left the row is exactly 0.
    """
    share = canaries / (canaries + controls)
    told = (canaries > 0) & (controls > 0)
    tilt = scores[:, None] * tilts - tilts**2 * (1.0 - 2.0 * share[:, None]) / 2.0
    level = np.log1p(share[:, None] * np.expm1(tilt))
    factors: Floats = np.where(told[:, None], np.where(canary[:, None], tilt, 0.0) - level, 0.0)
    return factors


def normal_scores(values: Floats, pool: Floats) -> tuple[Floats, Floats]:
    """The normal score of each value among the `pool`'s, the values before it and itself; and the pool with all of them.

    `values` has shape (n,); `pool` is sorted and stays as it is. Equal values share a rank. Scores are those of 1,024 steps.
    """
    scores = np.empty(len(values))
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        below, above = np.searchsorted(pool, chunk, "left"), np.searchsorted(pool, chunk, "right")
        earlier = np.tri(len(chunk), k=-1, dtype=bool)
        less = below + _true_of_each((chunk[None, :] < chunk[:, None]) & earlier)
        equal = above - below + _true_of_each((chunk[None, :] == chunk[:, None]) & earlier) + 1
        known = len(pool) + 1 + np.arange(len(chunk))
        scores[start : start + len(chunk)] = _SCORES[((less + equal / 2) / known * _GRID).astype(np.int64)]
        pool = np.sort(np.concatenate([pool, chunk]), kind="stable")
    return scores, pool


def _true_of_each(row: Bools) -> NDArray[np.uint8]:
    # A chunk is short enough to be counted in bytes, which is several times as fast.
    counts: NDArray[np.uint8] = row.view(np.uint8).sum(axis=1, dtype=np.uint8)
    return counts
