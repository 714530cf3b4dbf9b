"""How fast a gateway is: messages and samples of the last minute, and how old what Kafka acknowledges is."""

from __future__ import annotations

from collections import deque

import msgspec

SPAN_S = 60.0
_LAGS = 256
_FLUSHES = 1024


class Rates(msgspec.Struct, frozen=True):
    """Of the last minute, or since the start if that is shorter."""

    messages_per_s: float
    samples_per_s: float


class Lag(msgspec.Struct, frozen=True):
    """From the end of a window to its acknowledgement by Kafka, s: the newest, and of the last 256 the 99th percentile."""

    newest_s: float
    p99_s: float


class Recent:
    """Time is an argument: `now` in s of a clock that never runs backwards, `at` in ms since the epoch."""

    def __init__(self, now: float) -> None:
        self._begun = now
        self._counts: deque[tuple[float, int, int]] = deque()
        self._ends: dict[int, int] = {}
        self._lags: deque[float] = deque(maxlen=_LAGS)

    def committed(self, now: float, messages: int, samples: int) -> None:
        """A commit."""
        self._forget(now)
        second = now // 1
        if self._counts and self._counts[-1][0] == second:
            _, before, more = self._counts.pop()
            messages, samples = messages + before, samples + more
        self._counts.append((second, messages, samples))

    def rates(self, now: float) -> Rates:
        """As of now."""
        self._forget(now)
        span = max(1.0, min(SPAN_S, now - self._begun))
        messages, samples = (sum(count[field] for count in self._counts) for field in (1, 2))
        return Rates(round(messages / span, 3), round(samples / span, 3))

    def closed(self, created: int, until: int) -> None:
        """What was written to the outbox at `created` holds windows that end by `until`, both ms.

        Of a window that is shown before its end, the end is when it was written; -1 stands for no windows.
        """
        if until < 0:
            return
        self._ends[created] = min(until, created)
        while len(self._ends) > _FLUSHES:
            del self._ends[next(iter(self._ends))]

    def acknowledged(self, created: int, at: int) -> float | None:
        """Kafka has what was written at `created`: its lag in s; None for what is not known any more (backlog)."""
        until = self._ends.get(created)
        if until is None:
            return None
        lag = max(0, at - until) / 1000
        self._lags.append(lag)
        return lag

    def lag(self) -> Lag | None:
        """None while nothing was acknowledged."""
        if not self._lags:
            return None
        ranked = sorted(self._lags)
        return Lag(self._lags[-1], ranked[round(0.99 * (len(ranked) - 1))])

    def _forget(self, now: float) -> None:
        while self._counts and self._counts[0][0] <= now - SPAN_S:
            self._counts.popleft()
