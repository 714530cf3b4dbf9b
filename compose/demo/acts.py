"""The parts of the demonstration: each waits for something to be seen, and names itself when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from compose.demo.observation import Observation
    from ingest.runtime.clock import Clock


class MissingStepError(RuntimeError):
    """The loop did not close: the step that was not seen in time."""


class Stage:
    """Waits for observations; `look` takes a fresh one and shows it."""

    def __init__(self, look: Callable[[], Awaitable[Observation]], clock: Clock) -> None:
        self._look, self._clock = look, clock
        self._began = clock.monotonic()

    def seconds(self) -> float:
        """Since the curtain rose."""
        return self._clock.monotonic() - self._began

    async def until(self, step: str, seen: Callable[[Observation], bool], within_s: float) -> Observation:
        """Look until `seen`. Raises MissingStepError with the step's name."""
        deadline = self._clock.monotonic() + within_s
        while True:
            observation = await self._look()
            if seen(observation):
                return observation
            if self._clock.monotonic() > deadline:
                raise MissingStepError(step)
            await self._clock.sleep(0.25)

    async def watch(self, seconds: float) -> Observation:
        """Keep looking for a while."""
        end = self._clock.monotonic() + seconds
        observation = await self._look()
        while self._clock.monotonic() < end:
            await self._clock.sleep(0.25)
            observation = await self._look()
        return observation
