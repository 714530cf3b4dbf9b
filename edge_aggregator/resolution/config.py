"""Settings of adaptive resolution."""

from __future__ import annotations

import msgspec


class AdaptiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a device's windows become finer, and when the ones of a quiet series become wider (see `quiet_s`).

    Scores are in units of a series' own noise, as estimated from its past.
    """

    width_s: float = 0.0
    """Width of all windows of a device while its score is raised; 0 for never."""
    most_devices: int = 20
    """How many devices may be raised at a time: the ones of the highest scores."""
    enter: float = 8.0
    leave: float = 4.0
    """A device is raised at a score of `enter`, until it has been below `leave` for `dwell_s`."""
    dwell_s: float = 60.0
    longest_s: float = 600.0
    """After so long, what a device does now is taken for usual."""
    band: float = 3.0
    """A window with a score of at most this is quiet."""
    quiet_windows: int = 6
    """After so many quiet windows the next ones are `quiet_s` wide."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 0 < self.leave <= self.enter:
            raise ValueError(f"leave is {self.leave} and enter {self.enter}, expected 0 < leave <= enter")
        if self.most_devices < 1 or self.quiet_windows < 1:
            raise ValueError("most_devices and quiet_windows are at least 1")
        if not (self.dwell_s > 0 and self.longest_s >= self.dwell_s and self.band > 0):
            raise ValueError("dwell_s and band are more than 0, longest_s is at least dwell_s")
