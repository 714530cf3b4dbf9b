"""How the stake is split over effects, per kind of guard: one configuration for every fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.rollouts.eprocess.mixture import Mixture, mixture
from ingest.contract.events import OF_SOAKS, GuardKind, Worse

if TYPE_CHECKING:
    from ingest.contract.events import Guard

_HAZARDS = mixture({1.5: 0.2, 2.0: 0.3, 4.0: 0.25, 8.0: 0.2, 30.0: 0.05})
_LOSSES = mixture({2.5: 0.15, 6.0: 0.15, 100.0: 0.7})
_TILTS = mixture({0.2: 0.4, 0.45: 0.3, 1.0: 0.3})
_STAKES = mixture({0.03: 0.2, 0.1: 0.25, 0.3: 0.3, 0.7: 0.25})

HARM: dict[GuardKind, Mixture] = {
    GuardKind.CRASH: Mixture(np.log(_HAZARDS.effects), _HAZARDS.log_weights),
    GuardKind.SILENCE: Mixture(np.log(_LOSSES.effects), _LOSSES.log_weights),
    GuardKind.ALARM: Mixture(np.log(_HAZARDS.effects), _HAZARDS.log_weights),
    GuardKind.UPDATE: mixture({0.05: 0.4, 0.2: 0.3, 0.6: 0.3}),
    GuardKind.SOAK: _TILTS,
    GuardKind.COUNT: _TILTS,
    GuardKind.SHARE: _STAKES,
}
"""Log hazard ratios, tilts in standard deviations, stakes, or parts of the way from the margin to 1."""

_SAFE_HAZARDS = mixture({1.0: 0.7, 0.8: 0.3})
_SAFE_STRENGTHS = mixture({0.25: 0.25, 0.5: 0.25, 1.0: 0.25, 2.0: 0.25})

SAFE: dict[GuardKind, Mixture] = {
    GuardKind.CRASH: Mixture(np.log(_SAFE_HAZARDS.effects), _SAFE_HAZARDS.log_weights),
    GuardKind.SILENCE: Mixture(np.log(_SAFE_HAZARDS.effects), _SAFE_HAZARDS.log_weights),
    GuardKind.ALARM: Mixture(np.log(_SAFE_HAZARDS.effects), _SAFE_HAZARDS.log_weights),
    GuardKind.UPDATE: mixture({0.05: 0.5, 0.3: 0.5}),
    GuardKind.SOAK: _SAFE_STRENGTHS,
    GuardKind.COUNT: _STAKES,
    GuardKind.SHARE: _STAKES,
}
"""The same for "as harmless as the control, or a little better", against the guard's margin."""


def harm_mixture(guard: Guard) -> Mixture:
    """The effects that are bet on for a guard; half the stake on each direction when both are harm."""
    mixed = HARM[guard.kind]
    if guard.worse is not Worse.DIFFERENT or guard.kind not in OF_SOAKS:
        return mixed
    both = np.concatenate([mixed.effects, -mixed.effects])
    return Mixture(both, np.concatenate([mixed.log_weights, mixed.log_weights]) - np.log(2.0))
