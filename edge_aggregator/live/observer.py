"""Gathers what only a running gateway knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.live.protocol import LiveStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_aggregator.core import Core
    from edge_aggregator.live.recent import Recent
    from edge_aggregator.receive.port import Receiver
    from edge_aggregator.thread import OneThread
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health

MOST = 10
"""Devices named of each kind."""


class Observer:
    """Looks at a gateway's parts when it is asked to."""

    def __init__(
        self,
        core: Core,
        thread: OneThread,
        receivers: Sequence[Receiver],
        recent: Recent,
        *,
        clock: Clock,
        health: Health,
    ) -> None:
        self._core, self._thread, self._receivers, self._recent = core, thread, receivers, recent
        self._clock, self._health, self._begun = clock, health, clock.monotonic()

    async def status(self) -> LiveStatus:
        """As of now."""
        seen = await self._thread.run(self._core.observed, self._clock.now_ms(), MOST)
        now = self._clock.monotonic()
        return LiveStatus(
            up_s=round(now - self._begun, 3),
            rates=self._recent.rates(now),
            lag=self._recent.lag(),
            open_samples=seen.open_samples,
            receivers={receiver.name: receiver.state() for receiver in self._receivers},
            not_ready=self._health.reasons(),
            talkers_by_samples=seen.talkers_by_samples,
            talkers_by_bytes=seen.talkers_by_bytes,
            clocks_ahead=seen.clocks_ahead,
            quarantined=seen.quarantined,
            taps=len(self._core.taps),
        )
