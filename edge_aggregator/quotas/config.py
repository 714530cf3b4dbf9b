"""How much one device may take of its gateway."""

from __future__ import annotations

import msgspec


class QuotaConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one device; what exceeds them goes to its overflow series. Raises ValueError for what cannot work.

    0 stands for no bound. `burst_s`: so many seconds' worth may come at once, after an outage of the device, say.
    """

    series: int = 10_000
    samples_per_s: float = 10_000.0
    bytes_per_s: float = 1_048_576.0
    burst_s: float = 60.0
    overflow_factor: float = 4.0
    """Surplus samples beyond so many times `samples_per_s` are rejected: their journal would cost the neighbours theirs."""
    expiry_h: float = 24.0
    """A series that brought nothing for so long gives its place to another."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for field in ("series", "samples_per_s", "bytes_per_s", "overflow_factor"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"quotas.{field} is {getattr(self, field)}, expected at least 0 (0: no bound)")
        for field in ("burst_s", "expiry_h"):
            if not getattr(self, field) > 0:
                raise ValueError(f"quotas.{field} is {getattr(self, field)}, expected more than 0")
