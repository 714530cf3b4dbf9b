"""Resolution before coverage: nothing is dropped from a full outbox while anything in it could still become coarser."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import event, given, settings
from hypothesis import strategies as st

from edge_aggregator.config import MetricConfig
from edge_aggregator.outbox.outbox import Kind
from ingest.contract.batch_wire import decode_batch
from tests.edge_bench import T0, Bench, Sample, edge_config, message, rows
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_aggregator.ledger import Ledger
    from edge_aggregator.outbox.degrade import Scene
    from edge_aggregator.outbox.outbox import Waiting
    from edge_aggregator.outbox.room import Room
    from edge_aggregator.windows.windows import Windows
    from tests.edge_bench import Window

MINUTE_MS = 60_000
TEN_MINUTES_MS = 600_000
ALL = 1 << 30


class Act(NamedTuple):
    """A few minutes of samples, and what comes after them. `part`: how much of what waits the outbox may hold then."""

    minutes: int
    late: list[int]
    part: float
    send: str
    restart: bool


class Place(NamedTuple):
    """A device and a time of whole ten minutes."""

    device: str
    start: int


acts = st.lists(
    st.builds(
        Act,
        minutes=st.integers(1, 8),
        late=st.lists(st.integers(0, 1500), max_size=3),
        part=st.sampled_from([2.0, 2.0, 0.9, 0.6, 0.3, 0.1]),
        send=st.sampled_from(["", "", "", "", "fresh", "backlog"]),
        restart=st.integers(0, 5).map(lambda number: number == 0),
    ),
    min_size=3,
    max_size=10,
)
widths = st.lists(st.sampled_from([5, 10, 20, 30, 60, 120, 300, 600]), min_size=2, max_size=2)
intervals = st.lists(st.sampled_from([5, 20, 70, 250, 700]), min_size=2, max_size=2)
behind = st.sampled_from([0, 0, 7, 7200])


class Watched:
    """A room that says of each time when it made room what was excused from becoming coarser, in one naive loop.

    Excused are devices' ten minutes of which something may have been sent, of which something was still to come when the
    outbox was full, and in which there was but one window of each series then: that stays as it is.
    """

    def __init__(self, room: Room, bench: Bench, excused: set[Place]) -> None:
        self._room, self._bench, self._excused = room, bench, excused
        self._discard, room.discard = room.discard, self.discard  # type: ignore[method-assign]  # to hear of it
        self.made, self.configure = room.made, room.configure
        self.dropped: list[Waiting] = []

    def make(self, scene: Scene) -> int:
        before = list(fine(self._bench.waiting()))
        if self._bench.rooms.state.outbox.bytes > self._room._most_bytes:
            counts = Counter((place, window.metric) for place, window in before)
            alone = {place for place, _ in before} - {place for (place, _), number in counts.items() if number > 1}
            self._excused |= alone | {place for place, _ in before if not self._closed(place)}
        known = len(self.dropped)
        number = self._room.make(scene)
        if dropped := self.dropped[known:]:
            waiting = [one for one in self._bench.waiting() if not one.tried]
            could = {place for place, _ in fine([*dropped, *waiting])} - self._excused
            assert not could, f"dropped while {could} could have become coarser"
        return number

    def discard(self, waiting: Waiting, ledger: Ledger, windows: Windows) -> None:
        self.dropped.append(waiting)
        self._discard(waiting, ledger, windows)

    def _closed(self, place: Place) -> bool:
        device = self._bench.rooms.names.find_device(place.device)
        return bool(self._bench.rooms.windows.devices["horizon"][device] >= place.start + TEN_MINUTES_MS)


def fine(waiting: Iterable[Waiting]) -> Iterator[tuple[Place, Window]]:
    """The windows of less than ten minutes, with the ten minutes in which they are."""
    for one in waiting:
        if one.kind is Kind.ROLLUPS:
            for _, window, _ in rows(decode_batch(one.record.value or b"")):
                if window.width < TEN_MINUTES_MS:
                    yield Place(window.device, window.start // TEN_MINUTES_MS * TEN_MINUTES_MS), window


@settings(max_examples=examples(6), deadline=None)
@given(acts, widths, intervals, behind)
def test_nothing_is_dropped_while_anything_could_become_coarser(
    story: list[Act], widths_s: list[int], intervals_s: list[int], behind_s: int
) -> None:
    metrics = [MetricConfig(metric=f"m{number}", width_s=float(width)) for number, width in enumerate(widths_s)]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(edge_config(Path(folder), heartbeat_s=1e6, idle_close_s=1e6, metrics=metrics))
        excused: set[Place] = set()
        room = watch(bench, excused)
        now, drops = T0, 0
        for act in story:
            for _ in range(act.minutes):
                live(bench, now, intervals_s, behind_s)
                now += MINUTE_MS
                bench.flush(now)
            excused |= {place for place, _ in fine(sent(bench, act.send))}
            late = [Sample("a", "m0", max(T0, now - at * 1000) + 1, 5.0) for at in act.late]
            bench.take([message(sample) for sample in late], now)
            bench.rooms.room.configure(most_bytes=int(bench.rooms.state.outbox.bytes * act.part))
            live(bench, now, intervals_s, behind_s)
            now += MINUTE_MS
            bench.flush(now)
            totals = bench.rooms.ledger.totals
            assert (totals.open, totals.unaccounted()) == (bench.rooms.windows.samples(), 0)
            bench.rooms.room.configure(most_bytes=ALL)
            drops += len(room.dropped)
            if act.restart:
                bench.restart()
                room = watch(bench, excused)
        event(f"drops: {min(drops, 1)}")
        bench.close()


def watch(bench: Bench, excused: set[Place]) -> Watched:
    room = bench.rooms.room
    room.configure(most_bytes=ALL)
    watched = Watched(room, bench, excused)
    bench.rooms.room = watched  # type: ignore[assignment]  # it does what a room does
    return watched


def live(bench: Bench, start: int, intervals_s: list[int], behind_s: int) -> None:
    """A minute of two devices; the clock of one is behind."""
    samples = [
        Sample(device, f"m{number}", at - clock_s * 1000, float(at % 7))
        for device, clock_s in (("a", 0), ("b", behind_s))
        for number, interval in enumerate(intervals_s)
        for at in range(math.ceil(start / interval / 1000) * interval * 1000, start + MINUTE_MS, interval * 1000)
    ]
    bench.take([message(sample) for sample in samples], start + MINUTE_MS)


def sent(bench: Bench, how: str) -> list[Waiting]:
    waiting = bench.core.backlog(2000) if how == "backlog" else bench.core.fresh() if how else []
    bench.core.sent(waiting)
    return waiting
