"""What people say is no anomaly: topic `fleet.feedback.v1`."""

from __future__ import annotations

from enum import StrEnum

import msgspec

MOST_FEEDBACK = 5_000
"""So much holds for a tenant at a time at the most."""


class FeedbackScope(StrEnum):
    """For whom it is normal."""

    SERIES = "series"  # for this metric (with its labels) of this device
    COHORT = "cohort"  # for this metric of all the tenant's devices with this hardware


class FeedbackEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.feedback.v1`, key id: what one detector saw is normal, from `at` (ms) until it is undone.

    `rarity` is what is normal now: a natural logarithm, -ln of a tail probability. `anomaly` is the episode that was looked
    at, which began at `since` and was at most `seen` rare. A record is never removed: who undoes it leaves his name, too.
    """

    id: str
    tenant: str
    scope: FeedbackScope
    anomaly: str
    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    hardware: str
    detector: str
    since: int
    seen: float
    rarity: float
    by: str
    at: int
    reason: str
    undone_by: str = ""
    undone_at: int = 0
    undone_reason: str = ""

    def holds(self, at: int) -> bool:
        """Whether it is said of windows that end at `at` (ms)."""
        return self.at <= at and not (self.undone_at and self.undone_at <= at)
