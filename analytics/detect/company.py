"""One device of a class live: which metrics it has, and what is remembered of all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.detect.joint import LEAST_METRICS, MOST_METRICS, Joint
from analytics.detect.round import Change
from analytics.detectors.root_cause import ranked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.detect.joint import JointOutcome
    from analytics.detect.together_pool import JointPool

GATHERED = 20
"""Windows after which it is settled which metrics a device has; what comes later is not looked at until it is learned anew."""

Place = tuple[str, str, str]
"""Tenant, site, device."""
MetricName = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels."""
PoolKey = tuple[str, str, tuple[MetricName, ...], int]
"""Tenant, class, metrics and width: who is like whom."""


class Company:
    """The metrics of one device, reporting windows of `width` ms; windows of another width are passed over."""

    def __init__(self, width: int) -> None:
        self.width, self.last_end = width, 0
        self.metrics: tuple[MetricName, ...] = ()
        self.joint = Joint(0)
        self.cause = 0
        """The metric, by number, that the alarm is told of."""
        self.pool_key: PoolKey | None = None
        self._gathered: dict[MetricName, int] = {}
        self._windows, self._told = 0, 0

    @property
    def is_known(self) -> bool:
        """Whether it is settled what its metrics are, and they are enough."""
        return len(self.metrics) >= LEAST_METRICS

    def is_stale(self, end: int, relearn_after_ms: int) -> bool:
        """Whether it was unseen, in its width, for so long that it begins anew; an alarm is not ended by silence."""
        return bool(self.last_end) and not self._told and end - self.last_end > relearn_after_ms

    def is_due(self, end: int, width: int) -> bool:
        """Whether a window that ends at `end` (ms) is its next one."""
        return width == self.width and end > self.last_end

    def gather(self, values: Mapping[MetricName, float], end: int) -> bool:
        """Before the metrics are settled: remember these names. Whether they are settled now, and enough."""
        self.last_end = end
        self._windows += 1
        for name in values:
            self._gathered[name] = self._gathered.get(name, 0) + 1
        if self._windows < GATHERED:
            return False
        # Those that were there most, in the order of their names.
        usual = sorted(self._gathered, key=lambda name: (-self._gathered[name], name))[:MOST_METRICS]
        self._windows, self._gathered = 0, {}
        if len(usual) < LEAST_METRICS:
            return False
        self.metrics = tuple(sorted(usual))
        self.joint = Joint(len(self.metrics))
        return True

    def step(
        self, values: Mapping[MetricName, float], end: int, pool: JointPool, rebaseline_ms: int
    ) -> JointOutcome | None:
        """Look at a window."""
        self.last_end = end
        row = np.array([values.get(name, np.nan) for name in self.metrics])
        return self.joint.step(row, end, pool, rebaseline_ms)

    def changed(self, found: JointOutcome, end: int, continues_ms: int) -> Change:
        """What is to be told of a window."""
        if found.change is Change.ENTERED:
            self.cause, self._told = ranked(found.moves)[0], end
            return Change.ENTERED
        if found.change is not Change.NOTHING:
            self._told = 0
            return found.change
        if not found.alarm or end - self._told < continues_ms:
            return Change.NOTHING
        self._told = end
        return Change.CONTINUES

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        gathered = list(self._gathered.items())
        numbers = (self.width, self.last_end, self.cause, self._windows, self._told)
        return msgspec.msgpack.encode((numbers, self.metrics, self.joint.dump(), self.pool_key, gathered))

    @classmethod
    def restored(cls, dumped: bytes) -> Company:
        """As it was when it was dumped."""
        numbers, metrics, joint, pool_key, gathered = msgspec.msgpack.decode(dumped, type=_Dump)
        found = cls(0)
        found.width, found.last_end, found.cause, found._windows, found._told = numbers
        found.metrics, found.joint, found.pool_key = metrics, Joint.restored(joint), pool_key
        found._gathered = dict(gathered)
        return found


_Dump = tuple[
    tuple[int, int, int, int, int],
    tuple[MetricName, ...],
    bytes,
    PoolKey | None,
    list[tuple[MetricName, int]],
]
