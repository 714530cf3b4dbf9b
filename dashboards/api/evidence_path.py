"""How a rollout's e-value came to where it is: a bounded path of (time, logarithm)."""

from __future__ import annotations

from array import array

POINTS = 512


class EvidencePath:
    """Points by rising time; when there are too many every second inner one is left out, so the shape stays."""

    def __init__(self, most: int = POINTS) -> None:
        self._most = most
        self._at, self._log10_e = array("q"), array("d")

    def __len__(self) -> int:
        return len(self._at)

    def add(self, at: int, log10_e: float) -> None:
        """A point at time `at` (ms); an equal time replaces the last point, an earlier one is passed over."""
        if self._at and at < self._at[-1]:
            return
        if self._at and at == self._at[-1]:
            self._log10_e[-1] = log10_e
            return
        self._at.append(at)
        self._log10_e.append(log10_e)
        if len(self._at) > self._most:
            self._thin()

    def points(self) -> list[tuple[int, float]]:
        """All kept points."""
        return list(zip(self._at, self._log10_e, strict=True))

    def _thin(self) -> None:
        # The first and the last point stay: where it began and where it stands.
        del self._at[1:-1:2]
        del self._log10_e[1:-1:2]
