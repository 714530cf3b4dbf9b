"""The judges that are used today, on the same stories: a fixed threshold, a z-test at every look, Mann-Whitney as Kayenta's."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from compose.bench.gate.world import Story, World

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

THRESHOLD = 3.0
"""A canary cohort is bad when it crashes so many times as often as the base rate says."""
LEAST_CRASHES = 3
"""Before so many crashes a threshold has no rate to speak of."""
EVERY_H = 1 / 12
CONFIDENCE = 0.98
"""Kayenta's confidence for its Mann-Whitney test."""
_DECISIVE = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
PASS_SCORE, MARGINAL_SCORE = 95.0, 75.0


class Called(NamedTuple):
    """When a judge first called the release bad and first called it good, in hours; NaN for never."""

    bad: float
    good: float


def fixed_threshold(world: World, story: Story) -> Called:
    """Bad at the first look at which the canaries' crashes per device-hour of the last hour are above 3 times the base rate."""
    looks = np.arange(1.0, world.hours + 1e-9, EVERY_H)
    crashes = np.sort(story.crashed[story.canary])
    recent = np.searchsorted(crashes, looks, "right") - np.searchsorted(crashes, looks - 1.0, "right")
    enrolled = np.searchsorted(np.sort(story.enrolled[story.canary]), looks, "right")
    usual = world.crash_rate * (1.0 + world.second_hardware) / 2.0
    bad = (recent >= LEAST_CRASHES) & (recent > THRESHOLD * usual * enrolled)
    return Called(_first(looks, bad), world.hours if not bad.any() else np.nan)


def z_test(world: World, story: Story) -> Called:
    """Bad at the first look at which a one-sided two-proportion z-test on "has crashed" or "is silent" has p below 5 %."""
    looks = np.arange(EVERY_H, world.hours + 1e-9, EVERY_H)
    limit = NormalDist().inv_cdf(0.95)
    bad = (_z(story, story.crashed, looks) > limit) | (_z(story, story.silent, looks) > limit)
    return Called(_first(looks, bad), world.hours if not bad.any() else np.nan)


def mann_whitney(world: World, story: Story) -> Called:
    """Asked every hour: crashes per device and 5 minutes, and latencies, canary against control, each by Mann-Whitney at 98 %.

    The score is the share of metrics that are called neither high nor low, as Kayenta's default direction has it; below 75 the
    release is bad, at 95 it is good.
    """
    edges = np.arange(0.0, world.hours + 1e-9, EVERY_H)
    series = [np.histogram(story.crashed[arm], edges)[0] / arm.sum() for arm in (story.canary, ~story.canary)]
    soaked, unlike = -1, False
    bad = good = np.nan
    for hour in range(1, int(world.hours) + 1):
        seen = story.soaked <= hour
        if int(seen.sum()) > soaked:
            soaked = int(seen.sum())
            unlike = differs(story.latency[story.canary & seen], story.latency[~story.canary & seen])
        now = round(hour / EVERY_H)
        score = 100.0 * (1.0 - (unlike + differs(series[0][:now], series[1][:now])) / 2.0)
        bad = hour if np.isnan(bad) and score < MARGINAL_SCORE else bad
        good = hour if np.isnan(good) and score >= PASS_SCORE else good
    return Called(bad, good)


def differs(canary: NDArray[np.generic], control: NDArray[np.generic]) -> bool:
    """Mann-Whitney with the normal approximation and ties, two-sided at 98 %."""
    n1, n0 = len(canary), len(control)
    if min(n1, n0) < 2:  # noqa: PLR2004 - nothing to compare
        return False
    _, place, counts = np.unique(np.concatenate([canary, control]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    u = float(ranks[:n1].sum()) - n1 * (n1 + 1) / 2
    n = n1 + n0
    variance = float(n1 * n0 / 12 * (n + 1 - float((counts**3 - counts).sum()) / (n * (n - 1))))
    return variance > 0 and abs(u - n1 * n0 / 2) / variance**0.5 > _DECISIVE


JUDGES: dict[str, Callable[[World, Story], Called]] = {
    "fixed_threshold": fixed_threshold,
    "z_test": z_test,
    "mann_whitney": mann_whitney,
}


def _z(story: Story, times: Floats, looks: Floats) -> Floats:
    canary, control = (np.sort(times[arm]) for arm in (story.canary, ~story.canary))
    x1, x0 = (np.searchsorted(arm, looks, "right") for arm in (canary, control))
    n1, n0 = (np.searchsorted(np.sort(story.enrolled[arm]), looks, "right") for arm in (story.canary, ~story.canary))
    share = (x1 + x0) / np.maximum(n1 + n0, 1)
    spread = np.sqrt(share * (1 - share) * (1 / np.maximum(n1, 1) + 1 / np.maximum(n0, 1)))
    apart = x1 / np.maximum(n1, 1) - x0 / np.maximum(n0, 1)
    return np.where(spread > 0, apart / np.where(spread > 0, spread, 1.0), 0.0)


def _first(looks: Floats, bad: Bools) -> float:
    return float(looks[int(np.argmax(bad))]) if bad.any() else np.nan
