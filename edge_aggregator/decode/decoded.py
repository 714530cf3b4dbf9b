"""What decoding makes of messages: columns of samples, and notes of everything else that one commit must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Samples(NamedTuple):
    """Samples as columns of shape (n,), by rising series; within a series in order of arrival.

    `series` int64 ids, `ts` int64 ms since the epoch, `value` float64: finite, within ±1e150, never -0.0.
    """

    series: NDArray[np.int64]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A payload (perhaps cut short) that was not taken, or not wholly, with the first reason found."""

    topic: str
    payload: bytes
    reason: str
    detail: str
    at: int


class StateMessage(msgspec.Struct, frozen=True, array_like=True, tag="state"):
    """What a device said of itself, taken at `at` (ms); `retained` messages are no sign of life. `tags` None: it said nothing of them."""

    device: int
    at: int
    retained: bool
    state: str
    firmware: str = ""
    hardware: str = ""
    group: str = ""
    boot: str = ""
    tags: list[str] | None = None


class AckMessage(msgspec.Struct, frozen=True, array_like=True, tag="ack"):
    """What a device said of a command, taken at `at` (ms)."""

    device: int
    at: int
    command: str
    status: str
    firmware: str = ""
    reason: str = ""


class Notes(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one commit keeps beside its samples.

    `taken` is the newest arrival (ms); `rejected` counts samples by reason, `rejected_of` those of known devices by the
    device's id, `events_rejected` state messages and acks,
    `overflowed` samples that went to the overflow series of their device (they are taken, not rejected);
    `ahead` says of the devices with held samples how far (ms) their clocks ran ahead; `heard` are the ids of devices that showed life.
    """

    taken: int = 0
    rejected: dict[str, int] = {}
    rejected_of: dict[int, int] = {}
    events_rejected: dict[str, int] = {}
    skewed: int = 0
    ahead: dict[int, int] = {}
    overflowed: dict[str, int] = {}
    heard: list[int] = []
    dead: list[DeadLetter] = []
    messages: list[StateMessage | AckMessage] = []


class Decoded(NamedTuple):
    """One commit's worth of messages."""

    samples: Samples
    notes: Notes

    def received(self) -> int:
        """Samples taken, the rejected ones included."""
        return len(self.samples.series) + sum(self.notes.rejected.values())
