"""Devices by site and name, kept so as they come: the one that is new is put in its place, and nothing is sorted or searched through anew."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from heapq import merge
from itertools import takewhile
from typing import TYPE_CHECKING

from dashboards.api.name_search import NameSearch

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = tuple[str, str]
"""Site and name."""
FEW = 100
"""Fewer new ones than one in so many are put in their places one by one, more by sorting all."""
MOST_APART = 1000
"""So many new names are looked through one by one before the search is made anew."""


class DeviceOrder:
    """Keys of devices in order."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._new: list[Key] = []
        self._named: list[Key] = []
        self._names = NameSearch([])
        self._apart: list[Key] = []

    def add(self, key: Key) -> None:
        """A device that was not known."""
        self._new.append(key)

    def span(self, site: str, after: Key | None) -> range:
        """The places of those behind `after`, of the site where one is named; they hold until the next `add`."""
        self._settle()
        start = bisect_right(self._keys, max(after or ("", ""), (site, "")))
        end = bisect_left(self._keys, (site + "\0", "")) if site else len(self._keys)
        return range(start, max(start, end))

    def at(self, places: range) -> Iterator[Key]:
        """Those in these places."""
        return map(self._keys.__getitem__, places)

    def holding(self, text: str, site: str, after: Key | None) -> Iterator[Key]:
        """Those behind `after` with `text` in their names."""
        self.prepare()
        first, wanted = max(after or ("", ""), (site, "")), text.lower()
        places = self._names.places(text, bisect_right(self._named, first))
        found = merge(
            map(self._named.__getitem__, places),
            (key for key in self._apart if key > first and wanted in key[1].lower()),
        )
        return takewhile(lambda key: key[0] == site, found) if site else found

    def prepare(self) -> None:
        """Sort and name what is known already, so that who asks first need not wait for it."""
        self._settle()
        self._name()

    def _settle(self) -> None:
        if len(self._new) * FEW < len(self._keys):
            for key in self._new:
                insort(self._keys, key)
        elif self._new:
            self._keys += self._new
            self._keys.sort()
        self._apart += self._new
        self._new.clear()

    def _name(self) -> None:
        if len(self._apart) <= MOST_APART and len(self._apart) < len(self._keys):
            self._apart.sort()
            return
        self._named, self._apart = self._keys.copy(), []
        self._names = NameSearch([device for _, device in self._named])
