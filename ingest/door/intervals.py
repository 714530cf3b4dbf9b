"""Sets of integers that are nearly contiguous, as closed intervals."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Span = tuple[int, int]


@dataclass(frozen=True)
class Intervals:
    """An immutable set of integers; `spans` are sorted, disjoint and never adjacent."""

    spans: tuple[Span, ...] = ()

    def __contains__(self, number: int) -> bool:
        return self.span_of(number) is not None

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.spans)

    def span_of(self, number: int) -> Span | None:
        """The interval that holds `number`, or None."""
        place = self._place(number)
        if place and self.spans[place - 1][1] >= number:
            return self.spans[place - 1]
        return None

    def including(self, number: int) -> Intervals:
        """This set and `number`: what it touches grows together."""
        if number in self:
            return self
        place = self._place(number)
        before = place - 1 if place and self.spans[place - 1][1] == number - 1 else place
        after = place + 1 if place < len(self.spans) and self.spans[place][0] == number + 1 else place
        touched = self.spans[before:after]
        grown = (touched[0][0] if before < place else number, touched[-1][1] if after > place else number)
        return Intervals((*self.spans[:before], grown, *self.spans[after:]))

    def including_all(self, spans: Iterable[Span]) -> Intervals:
        """This set and all integers of these closed intervals."""
        joined: list[Span] = []
        for first, last in sorted((*self.spans, *spans)):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(joined[-1][1], last))
            else:
                joined.append((first, last))
        return Intervals(tuple(joined))

    def first_in(self, span: Span) -> int | None:
        """The least number of the set within a closed interval."""
        inside = self.span_of(span[0])
        place = self._place(span[0])
        found = span[0] if inside else self.spans[place][0] if place < len(self.spans) else None
        return found if found is not None and found <= span[1] else None

    def last_in(self, span: Span) -> int | None:
        """The greatest number of the set within a closed interval."""
        place = self._place(span[1])
        found = min(self.spans[place - 1][1], span[1]) if place else None
        return found if found is not None and found >= span[0] else None

    def missing_from(self, first: int) -> int:
        """How many integers from `first` to the greatest one are not in the set."""
        if not self.spans:
            return 0
        there = sum(max(0, last - max(first, low) + 1) for low, last in self.spans)
        return max(0, self.spans[-1][1] - first + 1 - there)

    def _place(self, number: int) -> int:
        # How many intervals begin at or before `number`.
        return bisect_right(self.spans, number, key=lambda span: span[0])
