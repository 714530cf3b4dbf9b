"""A guard's two bets: against "no more harm than the control", and against "at least the tolerable margin"."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from analytics.rollouts.logrank import log_factors, log_sum
from ingest.contract.events import EvidenceKind, Guard, GuardKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.rollouts.risk import EventTime

    Floats = NDArray[np.float64]

HARM_RATIOS = np.log([1.5, 2.0, 3.0, 5.0, 10.0])
HARM_WEIGHTS = np.log([0.15, 0.2, 0.25, 0.25, 0.15])
"""Hazard ratios that count as harm, and how the stake is split over them: a mixture, since nobody knows the effect."""

SAFE_RATIOS = np.log([1.0, 0.8])
SAFE_WEIGHTS = np.log([0.7, 0.3])
"""The same for "as harmless as the control, or a little better", against the guard's margin."""

GUARDED: dict[EvidenceKind, GuardKind] = {
    EvidenceKind.CRASHED: GuardKind.CRASH,
    EvidenceKind.SILENT: GuardKind.SILENCE,
}
"""Which guards an event is for."""


class Bets(msgspec.Struct, kw_only=True):
    """One guard's running bets: natural logarithms of the likelihood ratios, one per hazard ratio of the mixtures.

    `events` counts first events as (canary, control).
    """

    guard: Guard
    weight: float
    """The guard's share of alpha: the weights of a plan's guards sum to 1."""
    harm: list[float]
    safe: list[float]
    events: tuple[int, int] = (0, 0)


class Path(msgspec.Struct, frozen=True):
    """A guard's bets after each of some event times, after none of them first: n times lead to n + 1 rows.

    `harm` and `safe` have shapes (n + 1, ratios), `events` (n + 1, 2); `log10_harm` and `log10_safe` (n + 1,) are the
    mixtures, rounded to nine decimals so that machines agree on them.
    """

    harm: NDArray[np.float64]
    safe: NDArray[np.float64]
    events: NDArray[np.int64]
    log10_harm: NDArray[np.float64]
    log10_safe: NDArray[np.float64]


def new_bets(guards: Sequence[Guard]) -> list[Bets]:
    """Bets that have seen nothing."""
    total = sum(guard.weight for guard in guards)
    return [
        Bets(
            guard=guard,
            weight=guard.weight / total,
            harm=[0.0] * len(HARM_RATIOS),
            safe=[0.0] * len(SAFE_RATIOS),
        )
        for guard in guards
    ]


def play(bets: Bets, times: Sequence[EventTime]) -> Path:
    """How the bets fare at these event times, in order; `bets` stays as it is."""
    table = np.array([time[:4] for time in times], dtype=np.int64).reshape(-1, 4)
    o, d, n1, n0 = table.T
    harm = _run(bets.harm, log_factors(o, d, n1, n0, HARM_RATIOS, log_null=0.0))
    safe = _run(bets.safe, log_factors(o, d, n1, n0, SAFE_RATIOS, log_null=math.log(bets.guard.margin)))
    events = np.cumsum(np.concatenate([[bets.events], np.stack([o, d - o], axis=1)]), axis=0)
    return Path(harm, safe, events, _log10(harm, HARM_WEIGHTS), _log10(safe, SAFE_WEIGHTS))


def settle(bets: Bets, path: Path, row: int) -> None:
    """Take the bets to where `path` has them after its first `row` event times."""
    bets.harm, bets.safe = path.harm[row].tolist(), path.safe[row].tolist()
    bets.events = (int(path.events[row, 0]), int(path.events[row, 1]))


def _run(start: list[float], factors: Floats) -> Floats:
    # A running sum from the carried values: the same numbers however the event times are split over calls.
    return np.cumsum(np.concatenate([[start], factors]), axis=0)


def _log10(logs: Floats, weights: Floats) -> Floats:
    total: Floats = np.round(log_sum(logs + weights, axis=1) / np.log(10.0), 9) + 0.0
    return total
