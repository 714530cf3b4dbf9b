"""What people said is normal is not told: anomalies are withheld while they are no rarer than that.

Nothing of what series, pools and thresholds have learned changes. So undoing it leaves no trace: from then on everything is
told as if it had never been said. An alarm that is withheld goes on inside; when it becomes rarer than what is normal, or when the
feedback is undone, it is told as one that begins.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.by_tenant import Bounds, ByTenant
from analytics.detect.reasons import AnomalyReason
from ingest.contract.events import AnomalyEvent, AnomalyStatus, FeedbackEvent, FeedbackScope
from ingest.contract.events.feedback import MOST_FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BOUNDS = Bounds(each=MOST_FEEDBACK, all=20_000)
"""So much of what people said is heeded at the most."""

SAID, WITHHELD = "feedback", "withheld-"
"""What parts of the saved state are called."""

Withheld = dict[str, int]
"""Series by `_series`, and since when (ms) they alarm."""


class _Key(NamedTuple):
    tenant: str
    place: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    detector: str


class Normal:
    """Everything that people said is normal, and which alarms of which partition are withheld."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.said: ByTenant[FeedbackEvent] = ByTenant(bounds, _worth)
        self.withheld: dict[int, Withheld] = {}
        self._by_key: dict[_Key, list[FeedbackEvent]] = {}
        self._unsaved = False

    def take(self, event: FeedbackEvent) -> None:
        """Somebody said so, or undid it."""
        self._unsaved = True
        self._by_key.setdefault(_key_of(event), []).append(event)
        for gone in self.said.put(event):
            self._by_key[_key_of(gone)].remove(gone)
            if not self._by_key[_key_of(gone)]:
                del self._by_key[_key_of(gone)]

    def let_through(self, partition: int, events: Iterable[AnomalyEvent]) -> Iterator[AnomalyEvent]:
        """What is to be told of a partition's anomalies, in their order."""
        if not self.said and not self.withheld.get(partition):
            yield from events
            return
        withheld = self.withheld.setdefault(partition, {})
        for event in events:
            told = self._told(event, withheld)
            if told is not None:
                yield told

    def allowed(self, event: AnomalyEvent) -> float:
        """How rare an anomaly may be and still be normal; 0 where nobody said so."""
        keys = (_series_key(event), _cohort_key(event))
        found = [said for key in keys for said in self._by_key.get(key, ())]
        return max((said.rarity for said in found if said.holds(event.at)), default=0.0)

    def parts(self, partitions: Iterable[int]) -> dict[str, bytes]:
        """What is to be saved with these partitions, by name."""
        parts = {f"{WITHHELD}{number}": msgspec.msgpack.encode(self.withheld.get(number, {})) for number in partitions}
        if self._unsaved:
            parts[SAID] = msgspec.msgpack.encode(list(self.said))
        self._unsaved = False
        return parts

    def restore(self, name: str, dumped: bytes) -> bool:
        """Continue from a part; False when it is none of these."""
        if name == SAID:
            for event in msgspec.msgpack.decode(dumped, type=list[FeedbackEvent]):
                self.take(event)
            self._unsaved = False
        elif name.startswith(WITHHELD):
            self.withheld[int(name.removeprefix(WITHHELD))] = msgspec.msgpack.decode(dumped, type=Withheld)
        return name == SAID or name.startswith(WITHHELD)

    def _told(self, event: AnomalyEvent, withheld: Withheld) -> AnomalyEvent | None:
        series = _series(event)
        is_normal = rarity_of(event.tail_probability) <= self.allowed(event)
        match event.status:
            case AnomalyStatus.ENTERED:
                if is_normal:
                    withheld[series] = event.since
                return None if is_normal else event
            case AnomalyStatus.LEFT:
                return event if withheld.pop(series, None) is None else None
        if series not in withheld:
            if not is_normal:
                return event
            # It was told, and somebody has said since that it is normal: that ends it for people.
            withheld[series] = event.since
            return msgspec.structs.replace(event, status=AnomalyStatus.LEFT, reason=AnomalyReason.SAID_NORMAL.value)
        if is_normal:
            return None
        del withheld[series]
        return msgspec.structs.replace(event, status=AnomalyStatus.ENTERED)


def rarity_of(tail_probability: float) -> float:
    """-ln of a tail probability, at most 690: what is rarer is not told apart."""
    return float(f"{-math.log(max(tail_probability, 1e-300)):.9g}")


def counts(said: Iterable[FeedbackEvent]) -> dict[FeedbackScope, int]:
    """How much holds, by scope."""
    return {scope: sum(one.scope is scope and not one.undone_at for one in said) for scope in FeedbackScope}


def _worth(said: FeedbackEvent) -> tuple[int, int]:
    # What was undone goes first: the API lets a tenant have as much that holds as is kept of it here.
    return int(not said.undone_at), said.at


def _key_of(said: FeedbackEvent) -> _Key:
    place = f"{said.site}/{said.device}" if said.scope is FeedbackScope.SERIES else f"hardware {said.hardware}"
    labels = said.labels if said.scope is FeedbackScope.SERIES else ()
    return _Key(said.tenant, place, said.metric, labels, said.detector)


def _series_key(event: AnomalyEvent) -> _Key:
    return _Key(event.tenant, f"{event.site}/{event.device}", event.metric, event.labels, event.detector)


def _cohort_key(event: AnomalyEvent) -> _Key:
    return _Key(event.tenant, f"hardware {event.hardware}", event.metric, (), event.detector)


def _series(event: AnomalyEvent) -> str:
    return msgspec.json.encode((event.tenant, event.site, event.device, event.metric, event.labels)).decode()
