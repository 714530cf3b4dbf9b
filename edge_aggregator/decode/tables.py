"""What decoding needs to know: the dictionary, bounded caches over it, and its limits."""

from __future__ import annotations

import functools
from collections import Counter
from enum import StrEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.decode.layout import Layouts, Way
from edge_aggregator.quotas.config import QuotaConfig
from edge_aggregator.quotas.rates import Rates
from ingest.contract.topics import read_device_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge_aggregator.names import Names

_MOST_PLACES = 65_536
_MOST_SHAPE_IDS = 1_000_000
_MOST_IDS_PER_SHAPE = 1024
_MOST_AHEAD_MS = 60_000
_MOST_OVERFLOWING_IDS = 50_000
_TIMES_MET = 4


@functools.lru_cache(_MOST_IDS_PER_SHAPE)
def _packer(count: int) -> Callable[..., bytes]:
    # One for all topics: each takes half a kilobyte.
    return Struct(f"{count}d").pack


class Channel(StrEnum):
    """What kind of message a topic carries for this gateway."""

    TELEMETRY = "telemetry"
    STATE = "state"
    ACK = "ack"
    COMMAND = "command"  # our own, come back through a wide subscription
    ALARM = "alarm"  # our own as well
    CLOCK = "clock"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


class Place(NamedTuple):
    """Where a topic leads; `foreign_event` when what was addressed to another site is no telemetry."""

    channel: Channel
    device: str = ""
    foreign_event: bool = False


class Shape(NamedTuple):
    """What all messages of one topic with the same metric names share."""

    device: int
    series: NDArray[np.int64]


class Limits(NamedTuple):
    """Bounds of what is taken; times in ms."""

    payload_bytes: int
    future_tolerance: int
    max_age: int


class Tables:
    """The dictionary of one gateway and the caches over it."""

    def __init__(self, site: str, names: Names, limits: Limits, rates: Rates | None = None) -> None:
        self.names, self.limits = names, limits
        self.rates = rates or Rates(QuotaConfig())
        self.asked: dict[str, str] = {}
        """Devices that want to know the time, with their nonces."""
        self.shapes: dict[tuple[str, ...], Shape] = {}
        self.ways: dict[str, Way] = {}
        """By topic: how its messages are read without a dictionary, as long as they keep their layout."""
        self._layouts, self._met = Layouts(), Counter[str]()
        self._shape_ids = 0
        self._overflowing: list[tuple[str, ...]] = []
        self._overflowing_ids = 0
        self._site = site
        self._places: dict[str, Place] = {}
        self._given: dict[int, int] = {}

    def remember(self, key: tuple[str, ...], shape: Shape) -> None:
        """Cache a shape; when the cache is full it begins anew."""
        if len(shape.series) > _MOST_IDS_PER_SHAPE:
            return
        if self.names.overflows(shape.series):
            self._make_room_for_overflow(key, len(shape.series) + 1)
        self._shape_ids += len(shape.series) + 1
        if self._shape_ids > _MOST_SHAPE_IDS:
            self.forget_shapes()
            self._shape_ids = len(shape.series) + 1
        self.shapes[key] = shape

    def forget_shapes(self) -> None:
        """Begin the cache of shapes anew: series may have lost or got a place."""
        self.shapes.clear()
        self.ways.clear()
        self._layouts.clear()
        self._met.clear()
        self._overflowing.clear()
        self._shape_ids = self._overflowing_ids = 0

    def met(self, topic: str, names: tuple[str, ...], shape: Shape) -> None:
        """A message of a known shape was read; one that comes again and again gets a way of its own."""
        self._met[topic] += 1
        if self._met[topic] % _TIMES_MET:
            return
        if len(self._met) > _MOST_PLACES:
            self._met.clear()
            self.ways.clear()
        read = self._layouts.reader(names)
        if read is not None:
            self.ways[topic] = Way(read, _packer(len(names)), shape.series)

    def _make_room_for_overflow(self, key: tuple[str, ...], ids: int) -> None:
        # A device that makes up names without end must not push the shapes of its neighbours out.
        self._overflowing_ids += ids
        if self._overflowing_ids > _MOST_OVERFLOWING_IDS:
            for known in self._overflowing:
                self.shapes.pop(known, None)
                self.ways.pop(known[0], None)
            self._shape_ids -= self._overflowing_ids - ids
            self._overflowing.clear()
            self._overflowing_ids = ids
        self._overflowing.append(key)

    def place(self, topic: str) -> Place:
        """Where a topic leads."""
        known = self._places.get(topic)
        if known is None:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            known = self._places[topic] = self._find_place(topic)
        return known

    def give_time(self, device: int, at: int) -> int:
        """A timestamp for what came without one: its arrival, moved on so that no two of a device are equal."""
        last = self._given.get(device, -1)
        ts = last + 1 if at <= last < at + _MOST_AHEAD_MS else at
        self._given[device] = ts
        return ts

    def _find_place(self, topic: str) -> Place:
        parts = read_device_topic(topic)
        if parts is None:
            return Place(Channel.UNKNOWN)
        if parts.site != self._site:
            return Place(Channel.FOREIGN, foreign_event=parts.channel != Channel.TELEMETRY)
        return Place(Channel(parts.channel), parts.device)
