"""Which devices send most: samples and bytes of each, of which the past counts less and less. Pure: time is an argument."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_aggregator.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPAN_MS = 60_000
"""What is so old counts 1/e of what is new."""


class Talker(msgspec.Struct, frozen=True):
    """A device and what it sends, each second."""

    device: str
    samples_per_s: float
    bytes_per_s: float


class Talkers:
    """One row a device: a sum that decays exponentially, divided by the span, is a rate (an exponential moving average)."""

    def __init__(self) -> None:
        self._sums = Columns({"samples": ("f8", 0.0), "bytes": ("f8", 0.0)})
        self._noted = 0

    def note(self, samples: NDArray[np.int64], sent: NDArray[np.float64], now: int) -> None:
        """A commit at `now` (ms) brought so many samples and bytes, shape (devices,) each."""
        self._sums.grow_to(len(samples))
        self._decay(now)
        self._sums["samples"][: len(samples)] += samples
        self._sums["bytes"][: len(sent)] += sent

    def most(self, column: str, devices: Sequence[str], now: int, most: int) -> list[Talker]:
        """The devices with the most of `column` ("samples" or "bytes"), at most so many, the first one the most."""
        self._decay(now)
        ranked = self._sums[column]
        order = np.argsort(-ranked, kind="stable")[:most]
        return [self._talker(device, devices) for device in order.tolist() if ranked[device] > 0]

    def _talker(self, device: int, devices: Sequence[str]) -> Talker:
        samples, sent = (float(self._sums[name][device]) * 1000 / SPAN_MS for name in ("samples", "bytes"))
        return Talker(devices[device], round(samples, 3), round(sent, 1))

    def _decay(self, now: int) -> None:
        # A clock that is set back lets nothing grow.
        left = math.exp(-max(0, now - self._noted) / SPAN_MS) if self._noted else 1.0
        self._noted = now
        for name in ("samples", "bytes"):
            self._sums[name][:] *= left
