"""What a user may say about detection."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec


class DeviceClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices of which all metrics are looked at together; patterns as in a shell. `metrics`: of these alone, where any are named."""

    name: str
    hardware: str = "*"
    group: str = "*"
    metrics: list[str] = []

    def holds(self, hardware: str, group: str) -> bool:
        """Whether a device with these attributes is one of them."""
        return fnmatchcase(hardware, self.hardware) and fnmatchcase(group, self.group)

    def looks_at(self, metric: str) -> bool:
        """Whether a metric of theirs is looked at."""
        return not self.metrics or any(fnmatchcase(metric, pattern) for pattern in self.metrics)


class DetectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Detection needs one number: `false_alerts_per_1k_series_day`. The rest are bounds.

    `min_windows`: a series is silent until so many of its windows were learned. `pooled_windows`: from so many windows
    on a cohort's tail decides; `own_windows`: without one, a series' own past decides from so many of its own on.
    `continues_s`: how often an anomaly that lasts is reported again. `rebaseline_s`: how long an alarm may last (at
    least 60 windows) before what it alarmed about is learned as normal, once, with the reason `new_normal`.
    `relearn_after_s`: a series that was silent for so long is learned anew. `forget_after_s`: when `max_series` (per
    partition of the topic) is reached, series silent for so long make room; when one tenant has `max_series_of_tenant`
    of these (0: as many as there are), its own. `snapshot_s`: the state is saved at least so often. `together`: classes of
    devices of which all metrics are looked at together, the first that holds a device is its; at most `together_devices`
    devices per partition. `cohort_sites`: like devices of at least so many sites are looked at as a cohort (0: none are), after
    they have been for `cohort_learn_s`; at most `max_cohorts` of a tenant, of which those not heard of for `cohort_learn_s` are
    forgotten.
    """

    false_alerts_per_1k_series_day: float = 0.1
    min_windows: int = 12
    pooled_windows: int = 50
    own_windows: int = 400
    continues_s: float = 10.0
    rebaseline_s: float = 3600.0
    relearn_after_s: float = 3600.0
    forget_after_s: float = 3600.0
    max_series: int = 1_000_000
    max_series_of_tenant: int = 0
    together: list[DeviceClass] = []
    together_devices: int = 500
    cohort_sites: int = 5
    cohort_learn_s: float = 172_800.0
    max_cohorts: int = 4096
    snapshot_s: float = 10.0
    tick_s: float = 0.2
    member: str = "detect-0"

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that cannot be meant."""
        if not 0 < self.false_alerts_per_1k_series_day <= 1_000_000:  # noqa: PLR2004 - a rate, not a setting
            raise ValueError("false_alerts_per_1k_series_day: expected more than 0, at most 1000000")
        if not 6 <= self.min_windows <= 200 or not 1 <= self.own_windows <= 60_000:  # noqa: PLR2004 - how many are counted
            raise ValueError("min_windows: expected 6 to 200; own_windows: expected 1 to 60000")
        if not 1 <= self.max_series <= 10_000_000:  # noqa: PLR2004 - what the numbers of the series table hold
            raise ValueError("max_series: expected 1 to 10000000")
        if not 0 <= self.max_series_of_tenant <= self.max_series:
            raise ValueError("max_series_of_tenant: expected 1 to max_series, or 0 for as many")
        if self.together_devices < 1 or len({one.name for one in self.together}) < len(self.together):
            raise ValueError("together: expected classes of different names; together_devices: at least 1")
        if (self.cohort_sites and self.cohort_sites < 3) or self.cohort_learn_s <= 0 or self.max_cohorts < 1:  # noqa: PLR2004 - what has a median
            raise ValueError(
                "cohort_sites: expected 0, or at least 3; cohort_learn_s: more than 0; max_cohorts: at least 1"
            )
        if self.pooled_windows < 1 or min(self.continues_s, self.snapshot_s, self.tick_s) <= 0:
            raise ValueError("pooled_windows: expected at least 1; continues_s, snapshot_s, tick_s: more than 0")
