"""The way of a message, in one screen: taken → journal → acknowledged → windows → outbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge_aggregator.devices.listening import Listening
from edge_aggregator.flush import Moment
from edge_aggregator.intake import as_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_aggregator.core import Core
    from edge_aggregator.flush import Flushed
    from edge_aggregator.intake import EdgeIntake
    from edge_aggregator.live.recent import Recent
    from edge_aggregator.meters import Meters
    from edge_aggregator.receive.port import Receiver
    from edge_aggregator.thread import OneThread
    from ingest.runtime.clock import Clock


DRAIN_S = 2.0
"""How long a draining gateway goes on committing what it has read. The rest is not acknowledged: it is sent again."""


STILL = 5
"""So many times longer is the pause between flushes while nothing comes and nothing is open."""


class Pipeline:
    """Commits what arrives, acknowledges it, and flushes every `flush_s`.

    `flushed` is called after each flush; after a commit `asked` with the devices that want to know the time, and `answered` when
    devices answered commands. A commit that fails is raised: nothing of it has been acknowledged.
    """

    def __init__(
        self,
        core: Core,
        thread: OneThread,
        intake: EdgeIntake,
        receivers: Sequence[Receiver],
        *,
        clock: Clock,
        meters: Meters,
        recent: Recent,
        flush_s: float,
        flushed: Callable[[], None],
        asked: Callable[[Mapping[str, str]], None],
        answered: Callable[[], None],
    ) -> None:
        self._core, self._thread, self._intake, self._receivers = core, thread, intake, receivers
        self._clock, self._meters, self._recent = clock, meters, recent
        self.flush_s, self._flushed, self._asked, self._answered = flush_s, flushed, asked, answered
        self._listening = Listening(clock.monotonic())
        self._draining, self._drain_until = False, 0.0
        self._merging: asyncio.Task[None] | None = None

    def drain(self) -> None:
        """Commit and flush what has been taken, as far as `DRAIN_S` goes, then return from `run`."""
        self._draining, self._drain_until = True, self._clock.monotonic() + DRAIN_S
        self._intake.work.set()

    async def run(self) -> None:
        """Until drained. Raises StorageFailedError."""
        try:
            await self._run()
        finally:
            if self._merging:
                self._merging.cancel()

    async def _run(self) -> None:
        next_flush = self._clock.monotonic()
        while not self._drained():
            await self._wait(next_flush)
            if self._draining or self._intake.due_in() == 0:
                await self._commit()
                next_flush = min(next_flush, self._clock.monotonic() + self.flush_s)
            if self._clock.monotonic() >= next_flush or self._core.crowded():
                await self._flush()
                next_flush = self._clock.monotonic() + self.flush_s * (STILL if self._core.still() else 1)
        await self._merged()
        await self._flush()

    def _drained(self) -> bool:
        over = self._intake.oldest() is None or self._clock.monotonic() >= self._drain_until
        return self._draining and over

    async def _wait(self, next_flush: float) -> None:
        self._intake.work.clear()
        pauses = (next_flush - self._clock.monotonic(), self._intake.due_in())
        pause = min(seconds for seconds in pauses if seconds is not None)
        if pause > 0 and not self._draining:
            try:
                await asyncio.wait_for(self._intake.work.wait(), pause)
            except TimeoutError:
                return

    async def _commit(self) -> None:
        arrivals = self._intake.take()
        if not arrivals:
            return
        begun = self._clock.monotonic()
        samples = await self._thread.run(self._core.commit, as_taken(arrivals))
        for _, arrival in arrivals:
            arrival.committed()
        if asked := self._core.take_asked():
            self._asked(asked)
        self._intake.release(samples)
        self._recent.committed(begun, sum(self._intake.messages.values()), samples)
        self._meters.committed(self._clock.monotonic() - begun, self._intake.messages.items())
        self._intake.messages.clear()
        await self._thread.run(self._core.step, self._listened())
        if self._core.commands_answered():
            await self._thread.run(self._core.answer_commands)
            self._answered()

    async def _flush(self) -> None:
        flushed = await self._flush_turn()
        while flushed is not None and flushed.more:
            if self._intake.due_in() == 0:
                await self._commit()
            following = await self._flush_turn()
            flushed = flushed.then(following) if following else flushed._replace(more=False)
        if flushed is None:
            return
        now = self._clock.now_ms()
        if not self._draining and (self._merging is None or self._merging.done()):
            await self._merged()
            self._merging = asyncio.create_task(self._merge(now))
        self._flushed()
        self._meters.flushed(flushed, await self._thread.run(self._core.standing), now)

    async def _flush_turn(self) -> Flushed | None:
        now, oldest = self._clock.now_ms(), self._intake.oldest()
        moment = Moment(
            now=now,
            listened=self._listened(),
            heard_until=min(now, now if oldest is None else oldest) - 1,
            cut_off=self._connected_since() is None,
        )
        flushed = await self._thread.run(self._core.flush_turn, moment)
        if flushed is not None:
            self._recent.closed(now, flushed.until)
        return flushed

    async def _merge(self, now: int) -> None:
        # Packing takes as long as several commits: it is done beside them, in another thread.
        merge = await self._thread.run(self._core.begin_merge, now)
        if merge is not None:
            packed = await asyncio.to_thread(merge.packed)
            await self._thread.run(self._core.end_merge, merge, packed)

    async def _merged(self) -> None:
        merging, self._merging = self._merging, None
        if merging is not None:
            await merging  # raises what it met

    def _listened(self) -> float:
        return self._listening.advance(self._clock.monotonic(), self._connected_since())

    def _connected_since(self) -> float | None:
        # With several ways in, a silence means something only while all of them can hear.
        since = [receiver.connected_since() for receiver in self._receivers]
        connected = [moment for moment in since if moment is not None]
        return max(connected) if connected and len(connected) == len(since) else None
