"""Settings of the flight recorder: whose requests are answered, and how much of the gateway that may cost."""

from __future__ import annotations

import msgspec

_MOST_WAITING = 10_000


class RecorderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How requests for raw samples are answered: one at a time, slowly.

    `keys`: public keys (base64 of the raw 32 bytes) that may ask, beside the gateway's `centre_keys`. `bytes_per_s` is
    what answers take of the uplink, before compression. Of an answer `most_samples` are sent, whatever was asked.
    """

    keys: list[str] = []
    bytes_per_s: int = 1024 * 1024
    most_waiting: int = 16
    most_samples: int = 5_000_000

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.bytes_per_s < 1:
            raise ValueError(f"bytes_per_s is {self.bytes_per_s}, expected at least 1")
        if not 0 < self.most_waiting <= _MOST_WAITING:
            raise ValueError(f"most_waiting is {self.most_waiting}, expected 1 to {_MOST_WAITING}")
        if self.most_samples < 1:
            raise ValueError(f"most_samples is {self.most_samples}, expected at least 1")
