"""Names in which a text occurs, found in all of them at once: one search in one long text instead of one in each name."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BETWEEN = "\n"


class NameSearch:
    """Searches `names` without regard to case."""

    def __init__(self, names: Sequence[str]) -> None:
        lower = [name.lower() for name in names]
        self._text = _BETWEEN.join(lower)
        self._starts = list(accumulate((len(name) + len(_BETWEEN) for name in lower), initial=0))

    def places(self, text: str, start: int) -> Iterator[int]:
        """Where in `names` those are that hold `text`, from place `start` on; it costs as much as there is text to pass over."""
        wanted, place = text.lower(), start
        while place < len(self._starts) - 1:
            found = self._text.find(wanted, self._starts[place])
            if found < 0 or _BETWEEN in wanted:
                return
            place = bisect_right(self._starts, found) - 1
            yield place
            place += 1
