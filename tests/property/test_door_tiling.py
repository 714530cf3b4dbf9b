"""Whatever is corrected, merged and split, in whatever order it arrives and however often: windows that count tile time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.records import Record
from ingest.door.book import Book
from ingest.door.keeping import Keeper
from ingest.door.passage import Passage
from ingest.runtime.health import Health
from ingest.runtime.store.port import StoreTotals
from ingest.runtime.telemetry import Telemetry
from tests.examples import examples
from tests.memory_store import MemoryStore
from tests.rollup_batches import ORIGIN
from tests.tiling_edge import TilingEdge, Window

TELEMETRY = Telemetry("tiling")


class Door:
    """The door without a log; it can be killed and started anew from its saved accounts."""

    def __init__(self, edge: TilingEdge) -> None:
        self.edge, self.store = edge, MemoryStore()
        self.book = Book()

    async def take(self, number: int, offset: int) -> None:
        sent = self.edge.sent[number]
        keeper = Keeper(self.store, health=Health(), draining=asyncio.Event(), make_backoff=lambda: None)  # type: ignore[arg-type,return-value]  # the store is never away
        record = Record(sent.topic, 0, offset, sent.key, sent.value, sent.headers, 0)
        await Passage(self.edge.gateway.registry, self.book, keeper, TELEMETRY).take(record)

    def restart(self) -> None:
        saved = [Record(r.topic, 0, 0, r.key, r.value, r.headers, 0) for r in self.book.unsaved(0)]
        self.book = Book()
        self.book.restore(saved, frozenset())
        for account in self.book.accounts.values():
            self.book.changed(account)

    def windows(self) -> dict[Window, tuple[int, int]]:
        return {Window(place.start, w.width): (w.samples, w.revision) for place, w in self.store.windows.items()}


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["emit", "correct", "merge", "split"]), st.integers(0, 20)), max_size=14
)


@st.composite
def edges(draw: st.DrawFn) -> TilingEdge:
    edge = TilingEdge()
    edge.emit(0)
    for name, choice in draw(OPERATIONS):
        getattr(edge, name)(choice)
    return edge


@settings(deadline=None, max_examples=examples(60))
@given(edges(), st.data())
def test_windows_that_count_tile_time(edge: TilingEdge, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(edge.sent))))
    extra = data.draw(st.lists(st.sampled_from(order), max_size=6))
    restarts = data.draw(st.sets(st.integers(0, len(order) + len(extra)), max_size=3))
    asyncio.run(deliver(edge, [*order, *extra], restarts))


@settings(deadline=None, max_examples=examples(40))
@given(edges(), st.randoms(use_true_random=False))
def test_early_replays_change_nothing(edge: TilingEdge, random: object) -> None:
    numbers = [n for n in range(len(edge.sent)) for _ in range(random.randint(1, 3))]  # type: ignore[attr-defined]  # hypothesis' own Random
    random.shuffle(numbers)  # type: ignore[attr-defined]  # as above
    asyncio.run(deliver(edge, numbers, set()))


async def deliver(edge: TilingEdge, numbers: list[int], restarts: set[int]) -> None:
    door, seen = Door(edge), set[int]()
    for offset, number in enumerate(numbers):
        if offset in restarts:
            door.restart()
        await door.take(number, offset)
        seen.add(number)
        if seen == set(range(len(seen))):  # nothing is missing: the store says what the edge said then
            assert door.windows() == edge.states[len(seen)]
            assert tile_time(list(door.windows()))
    samples = sum(edge.samples.values())
    assert door.windows() == edge.states[-1]
    assert await door.store.totals(ORIGIN.tenant) == StoreTotals(len(edge.tiles), samples)
    (account,) = door.book.accounts.values()
    assert (account.stored, account.batches, account.guard.marks) == (samples, len(edge.sent), {})


def tile_time(windows: list[Window]) -> bool:
    return all(one.start + one.width <= other.start for one, other in pairwise(sorted(windows)))
