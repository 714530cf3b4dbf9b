"""Why an anomaly entered, continues or left."""

from __future__ import annotations

from enum import StrEnum


class AnomalyReason(StrEnum):
    """What an anomaly event's `reason` says."""

    POOLED_TAIL = "pooled_tail"  # rarer than the user's one number allows, among the windows of like series
    OWN_PAST = "own_past"  # too few like series: rarer than that in the series' own past
    BACK_TO_NORMAL = "back_to_normal"  # several calm windows in a row
    NEW_NORMAL = "new_normal"  # it lasted so long that it is learned as normal, once
    SAID_NORMAL = "said_normal"  # somebody said that it is normal
    RELEARNED = "relearned"  # the series turned out to be of another kind and is learned anew
    COHORT_SHIFT = "cohort_shift"  # like devices of many sites have moved together from their own past
    FORGOTTEN = "forgotten"  # nothing has been heard of it for long
