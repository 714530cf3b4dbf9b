"""What a user may say about incidents."""

from __future__ import annotations

import math

import msgspec


class IncidentsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Durations in seconds, of event time where nothing else is said.

    `settle_s`: alarms wait so long for others of the same moment, then they are taken in order. `together_s`: what begins with no
    longer pause in between may be one, where no attribute says so. `recent_s`: so far back a common cause is looked for.
    `update_s`: people are told no more often of one incident, but of its beginning and its end. `resolve_after_s`: it ends when
    nothing of it has alarmed for so long. `incident_bytes` and `fleet_bytes`: what the series of open incidents, and the devices
    of the fleet, may take in memory for each tenant.
    """

    settle_s: float = 2.0
    together_s: float = 60.0
    recent_s: float = 900.0
    update_s: float = 60.0
    resolve_after_s: float = 30.0
    incident_bytes: int = 256 << 20
    fleet_bytes: int = 256 << 20
    member: str = "incidents-0"
    tick_s: float = 0.2

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        spans = (self.settle_s, self.together_s, self.recent_s, self.update_s, self.resolve_after_s)
        if not all(math.isfinite(span) and span >= 0 for span in spans) or self.tick_s <= 0:
            raise ValueError(
                "settle_s, together_s, recent_s, update_s, resolve_after_s: expected at least 0; tick_s: more"
            )
        if min(self.incident_bytes, self.fleet_bytes) < 1 << 20:
            raise ValueError("incident_bytes, fleet_bytes: expected at least 1048576")
