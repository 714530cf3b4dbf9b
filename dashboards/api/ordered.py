"""Keys in order, kept so as they come and go: a page of a list costs as much as the page, however much there is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = tuple[Any, ...]
"""What orders a thing; the last part is its name, so that no two are equal."""


class Ordered:
    """Keys by rising value."""

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: Key) -> None:
        """A thing with this key has come."""
        insort(self._keys, key)

    def remove(self, key: Key) -> None:
        """The thing with this key has gone."""
        place = bisect_left(self._keys, key)
        assert self._keys[place] == key, key
        del self._keys[place]

    def behind(self, after: Key | None) -> Iterator[Key]:
        """Those greater than `after`, or all."""
        start = 0 if after is None else bisect_right(self._keys, after)
        return (self._keys[place] for place in range(start, len(self._keys)))
