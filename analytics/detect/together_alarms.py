"""Alarms about all metrics of a device together: the same hysteresis as of single series, on the surprise of their distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.detect.round import Change
from analytics.detectors.hysteresis import LEAVE_SHARE, advance, middle_of_three

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEGAN_BEFORE = 2
"""Two of three windows begin an alarm: it began with the first of them."""


class JointAlarms:
    """Of so many devices, which are looked at in the same windows; `since` (ms) is when an alarm began, 0 without one."""

    def __init__(self, devices: int) -> None:
        self.since = np.zeros(devices, np.int64)
        self._last, self._before = np.zeros((2, devices))
        self._alarm, self._calm, self._accepted = np.zeros((3, devices), np.uint8)

    def step(
        self,
        surprise: NDArray[np.float64],
        asked: NDArray[np.float64],
        end: NDArray[np.int64],
        width: int,
        patience_ms: int,
    ) -> JointChange:
        """One window on, columns of shape (devices,): `asked` is the surprise that it takes, infinite where nothing speaks.

        The window is `width` ms wide and ends at `end` (ms).

        What lasts longer than `patience_ms` ends once, and nothing is said before it has calmed down.
        """
        middle = middle_of_three(surprise, self._last, self._before)
        self._last, self._before = surprise.copy(), self._last
        hits, calms = (middle >= asked), surprise < LEAVE_SHARE * np.where(np.isinf(asked), 0.0, asked)
        busy = (self._alarm | self._accepted).astype(np.uint8)
        changes = advance(busy, self._calm, hits, calms)
        lasting = (self._alarm > 0) & (end - self.since >= patience_ms) & ~changes.left
        change = np.zeros(len(surprise), np.uint8)
        change[changes.entered] = Change.ENTERED
        change[changes.left & (self._alarm > 0)] = Change.CALMED
        change[lasting] = Change.NEW_NORMAL
        self.since[changes.entered] = (end - BEGAN_BEFORE * width)[changes.entered]
        began = self.since.copy()
        self._accepted = ((self._accepted > 0) & ~changes.left | lasting).astype(np.uint8)
        self._alarm = ((changes.alarm > 0) & (self._accepted == 0)).astype(np.uint8)
        self._calm = changes.calm
        self.since[self._alarm == 0] = 0
        return JointChange(change, self._alarm > 0, middle, began)

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        names = ("since", "_last", "_before", "_alarm", "_calm", "_accepted")
        return msgspec.msgpack.encode([getattr(self, name).tobytes() for name in names])

    @classmethod
    def restored(cls, dumped: bytes) -> JointAlarms:
        """As they were when they were dumped."""
        since, last, before, alarm, calm, accepted = msgspec.msgpack.decode(dumped, type=list[bytes])
        found = cls(0)
        found.since = np.frombuffer(since, np.int64).copy()
        found._last, found._before = (np.frombuffer(part, np.float64).copy() for part in (last, before))
        found._alarm, found._calm, found._accepted = (
            np.frombuffer(part, np.uint8).copy() for part in (alarm, calm, accepted)
        )
        return found


class JointChange(NamedTuple):
    """Of each device, shape (devices,): the `Change`, whether it alarms, the surprise of two of three windows, since when (ms)."""

    change: NDArray[np.uint8]
    alarm: NDArray[np.bool_]
    middle: NDArray[np.float64]
    since: NDArray[np.int64]
