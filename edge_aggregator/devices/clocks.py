"""How far each device's clock is from the gateway's, estimated from when its samples arrive.

A sample's delay is its arrival minus its timestamp: transport and backlog only ever add to it. So the least delay of a
minute stands for that minute, and the lower quartile of the last sixteen for the device: a backlog that takes less than
three quarters of them does not move it, nor do up to three minutes in which a timestamp was wrong. What remains is the
shortest way to the gateway and its commit interval, by which a clock seems to be behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.journal.codec import pack_integers, unpack_integers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MINUTE_MS = 60_000
MINUTES = 16
LEVELS = (0.0, 0.05, 0.5, 0.95, 1.0)
_FRESH_MS = 5000
_NONE = np.iinfo(np.int64).max
_SAVED = "clock_offset"
_NAMES = tuple(f"m{minute}" for minute in range(MINUTES))


class ClockOffset(NamedTuple):
    """A device and by how many ms its clock is ahead of the gateway's."""

    device: int
    ahead: int


class Clocks:
    """By device id."""

    def __init__(self) -> None:
        self._least = Columns(dict.fromkeys(_NAMES, ("i8", _NONE)))
        self._minute = self._begun = self._noted = 0
        self._estimate, self._estimated = np.empty(0, np.int64), -_FRESH_MS

    def note(self, heard: Sequence[int], watermark: NDArray[np.int64], taken: int, ahead: Mapping[int, int]) -> None:
        """Take what one commit says: who was `heard` by `taken` (ms), and who is `ahead` beyond all tolerance (ms).

        `watermark`, shape (devices,), is each device's newest timestamp: what is older says nothing new.
        """
        self._least.grow_to(len(watermark))
        self._noted = taken
        if abs(taken - self._begun) >= MINUTE_MS:
            self._begin(taken)
        least, device = self._least[f"m{self._minute}"], np.asarray(heard, np.int64)
        device = device[device < len(watermark)]
        device = device[watermark[device] >= 0]
        np.minimum.at(least, device, taken - watermark[device])
        for number, milliseconds in ahead.items():
            least[number] = min(int(least[number]), -milliseconds)

    def offsets(self) -> NDArray[np.int64]:
        """By how many ms each device's clock is ahead, shape (devices,); the lowest number where nothing is known.

        Estimated anew every five seconds of samples.
        """
        if abs(self._noted - self._estimated) >= _FRESH_MS or len(self._estimate) < len(self._least):
            self._estimate, self._estimated = self._estimated_now(), self._noted
        return self._estimate

    def _estimated_now(self) -> NDArray[np.int64]:
        least = np.sort(np.stack([self._least[f"m{minute}"] for minute in range(MINUTES)]), axis=0)
        known = np.count_nonzero(least < _NONE, axis=0)
        quartile: NDArray[np.int64] = least[np.maximum(known - 1, 0) // 4, np.arange(least.shape[1])]
        return -quartile

    def offset(self, device: int) -> int | None:
        """By how many ms a device's clock is ahead; None when nothing is known."""
        if device >= len(self._least):
            return None
        least = sorted(int(self._least[name][device]) for name in _NAMES)
        known = [delay for delay in least if delay < _NONE]
        return -known[(len(known) - 1) // 4] if known else None

    def distribution(self) -> dict[float, int]:
        """Quantiles over all devices that are known, in ms; empty without any."""
        offsets = self.offsets()
        known = np.sort(offsets[offsets > -_NONE])
        return {level: int(known[round(level * (len(known) - 1))]) for level in LEVELS} if len(known) else {}

    def furthest(self, most: int) -> list[ClockOffset]:
        """The devices whose clocks are furthest off, at most so many."""
        offsets = self.offsets()
        known = np.flatnonzero(offsets > -_NONE)
        order = known[np.argsort(-np.abs(offsets[known]), kind="stable")][:most]
        return [ClockOffset(device, int(offsets[device])) for device in order.tolist()]

    def save(self) -> dict[str, bytes]:
        """The estimates."""
        return {_SAVED: pack_integers(self.offsets())}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Begin with the estimates as they were saved."""
        if _SAVED in parts:
            offsets = unpack_integers(parts[_SAVED])
            self._least.grow_to(len(offsets))
            self._least["m0"][: len(offsets)] = -offsets

    def _begin(self, now: int) -> None:
        self._begun, self._minute = now, (self._minute + 1) % MINUTES
        self._least[f"m{self._minute}"][:] = _NONE
