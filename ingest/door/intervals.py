"""Sets of integers that are nearly contiguous, as closed intervals."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

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

    def missing_from(self, first: int) -> int:
        """How many integers from `first` to the greatest one are not in the set, when `first` is not beyond the least."""
        return self.spans[-1][1] - first + 1 - len(self) if self.spans else 0

    def _place(self, number: int) -> int:
        # How many intervals begin at or before `number`.
        return bisect_right(self.spans, number, key=lambda span: span[0])
