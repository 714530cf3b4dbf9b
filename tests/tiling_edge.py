"""An edge that corrects, merges and splits the windows of one series: what a door and its store must get right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.rollup_batches import ORIGIN, T0, Row
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from random import Random

    from ingest.contract.batch import Origin
    from ingest.contract.records import Outgoing

BASE = 10_000


class Window(NamedTuple):
    start: int
    width: int


class TilingEdge:
    """One series at an edge that emits, corrects, merges and splits its windows; each change is a batch."""

    def __init__(self, origin: Origin = ORIGIN) -> None:
        self.gateway = SignedGateway(origin)
        self.samples: dict[int, int] = {}  # by base window
        self.tiles: list[Window] = []
        self.revisions: dict[Window, int] = {}
        self.sent: list[Outgoing] = []
        self.states: list[dict[Window, tuple[int, int]]] = [{}]

    def change_somehow(self, chance: Random) -> None:
        name = chance.choice(["emit", "emit", "correct", "merge", "split"]) if self.tiles else "emit"
        getattr(self, name)(chance.randrange(1000))

    def emit(self, _: int) -> None:
        start = T0 + len(self.samples) * BASE
        self.samples[start] = 2
        self.change([], [Window(start, BASE)], 2)

    def correct(self, choice: int) -> None:
        tile = self.tiles[choice % len(self.tiles)]
        self.samples[tile.start] += 3
        self.change([tile], [tile], 3)

    def merge(self, choice: int) -> None:
        first = choice % len(self.tiles)
        run = self.tiles[first : first + 2 + choice % 2]
        self.change(run, [Window(run[0].start, sum(tile.width for tile in run))], 0)

    def split(self, choice: int) -> None:
        tile = self.tiles[choice % len(self.tiles)]
        starts = range(tile.start, tile.start + tile.width, BASE)
        self.change([tile], [Window(start, BASE) for start in starts], 0)

    def change(self, old: list[Window], new: list[Window], net: int) -> None:
        for tile in new:
            self.revisions[tile] = self.revisions.get(tile, -1) + 1
        self.tiles = sorted((set(self.tiles) - set(old)) | set(new))
        replaces = [Row(start=tile.start, width=tile.width) for tile in old if tile not in new]
        batch = self.gateway.batch(*(self.row(tile) for tile in new), replaces=replaces, net=net)
        self.sent.append(self.gateway.sign(batch))
        self.states.append({tile: (self.count(tile), self.revisions[tile]) for tile in self.tiles})

    def row(self, tile: Window) -> Row:
        return Row(start=tile.start, width=tile.width, values=(1.0,) * self.count(tile), revision=self.revisions[tile])

    def count(self, tile: Window) -> int:
        return sum(n for start, n in self.samples.items() if tile.start <= start < tile.start + tile.width)
