"""Taps into the stream of samples: bounded on every side, so that who reads slowly loses lines and holds up nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.recorder.search import wanted_series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.decode.decoded import Samples
    from edge_aggregator.journal.block import Block
    from edge_aggregator.names import Names, SeriesName

MOST_TAPS = 4
MOST_PER_S = 5_000
"""Samples that one tap takes of the stream in a second; twice as many may wait for its reader."""


class Tapped(NamedTuple):
    """Samples for a tap's reader, and how many it has missed before them."""

    names: list[SeriesName]
    ts: list[int]
    value: list[float]
    missed: int


class Tap:
    """What one reader wants, and what waits for it. `offer` is for the core's thread, the rest for the event loop."""

    def __init__(self, names: Names, device: str, metrics: Sequence[str], post: Callable[[Tapped], None]) -> None:
        self._names, self._device, self._metrics, self._post = names, device, metrics, post
        self._wanted: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._second, self._left, self._untold = 0, 0, 0
        self.missed = 0
        """Samples that there was no room for."""
        self.posted = 0
        self.written = 0
        """Samples that the reader has: each thread writes its own of the two counts."""

    def offer(self, block: Block) -> None:
        """Take from a block what is wanted, as far as there is room."""
        series, ts, value = block.samples
        mine = np.flatnonzero(self._wants(block.samples)[series]) if len(series) else series
        if not len(mine):
            return
        room = max(0, min(self._budget(block.notes.taken), 2 * MOST_PER_S - (self.posted - self.written)))
        taken = np.sort(mine[np.argsort(ts[mine], kind="stable")][:room])
        self._left -= len(taken)
        self.missed += len(mine) - len(taken)
        self._untold += len(mine) - len(taken)
        if len(taken):
            named = self._names.series.of(series[taken].tolist())
            self.posted += len(taken)
            self._post(Tapped(named, ts[taken].tolist(), value[taken].tolist(), self._untold))
            self._untold = 0

    def device_of(self, name: SeriesName) -> str:
        """The device of a series."""
        return self._names.devices[name.device]

    def _budget(self, taken_at: int) -> int:
        if taken_at // 1000 != self._second:
            self._second, self._left = taken_at // 1000, MOST_PER_S
        return self._left

    def _wants(self, samples: Samples) -> NDArray[np.bool_]:
        # New series come at the end; that an id is forgotten does no harm here.
        if int(samples.series.max()) >= len(self._wanted):
            self._wanted = wanted_series(self._names, self._device, self._metrics)
        return self._wanted


class Taps:
    """All taps. While there are none, the stream costs nothing here."""

    def __init__(self) -> None:
        self._taps: tuple[Tap, ...] = ()

    def __len__(self) -> int:
        return len(self._taps)

    def offer(self, blocks: Sequence[Block]) -> None:
        """Blocks that were just committed; on the core's thread."""
        for tap in self._taps:
            for block in blocks:
                tap.offer(block)

    def add(self, tap: Tap) -> bool:
        """Whether there was room for one more."""
        if len(self._taps) >= MOST_TAPS:
            return False
        self._taps = (*self._taps, tap)
        return True

    def remove(self, tap: Tap) -> None:
        """This reader is gone."""
        self._taps = tuple(known for known in self._taps if known is not tap)


class Mailbox:
    """From the core's thread to one reader on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: deque[Tapped] = deque()
        self._some = asyncio.Event()

    def post(self, letter: Tapped) -> None:
        """From any thread."""
        self._letters.append(letter)
        self._loop.call_soon_threadsafe(self._some.set)

    async def take(self) -> Tapped:
        """The next one, when it comes."""
        while not self._letters:
            self._some.clear()
            await self._some.wait()
        return self._letters.popleft()
