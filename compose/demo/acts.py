"""The parts of the demonstration: each waits for something to be seen, and names itself when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from compose.demo.observation import Observation
    from ingest.runtime.clock import Clock


LOOK_S = 0.25
"""Between two looks."""

TURN_S = 2 * LOOK_S
"""What a look and the pause after it count at the most: those that take longer say that the machine is overloaded."""

MOST_S = 180.0
"""The longest that a step may take, whatever moves."""


class MissingStepError(RuntimeError):
    """The loop did not close: the step that was not seen in time."""


class Patience:
    """How long a step may still take: `within_s` since something has moved, and `MOST_S` in all."""

    def __init__(self, within_s: float, clock: Clock) -> None:
        self._within_s, self._clock = within_s, clock
        self._looked = self._began = clock.monotonic()
        self._left = within_s
        self._moving: Hashable = None

    def over(self, moving: Hashable) -> bool:
        """Whether to give up, after a look that found `moving`: when it is another than before, something has moved."""
        now = self._clock.monotonic()
        self._left -= min(now - self._looked, TURN_S)
        self._looked = now
        if moving != self._moving:
            self._moving, self._left = moving, self._within_s
        return self._left <= 0 or now - self._began >= MOST_S


class Stage:
    """Waits for observations; `look` takes a fresh one and shows it."""

    def __init__(self, look: Callable[[], Awaitable[Observation]], clock: Clock) -> None:
        self._look, self._clock = look, clock
        self._began = clock.monotonic()

    def seconds(self) -> float:
        """Since the curtain rose."""
        return self._clock.monotonic() - self._began

    async def until(
        self,
        step: str,
        seen: Callable[[Observation], bool],
        within_s: float,
        moving: Callable[[Observation], Hashable] | None = None,
    ) -> Observation:
        """Look until `seen`. Raises MissingStepError with the step's name when nothing has moved for `within_s`.

        What moves is `moving`; without it, whatever the observation says but of samples.
        """
        patience = Patience(within_s, self._clock)
        while True:
            observation = await self._look()
            if seen(observation):
                return observation
            if patience.over(moving(observation) if moving else observation.moving()):
                raise MissingStepError(step)
            await self._clock.sleep(LOOK_S)

    async def watch(self, seconds: float) -> Observation:
        """Keep looking for a while."""
        end = self._clock.monotonic() + seconds
        observation = await self._look()
        while self._clock.monotonic() < end:
            await self._clock.sleep(LOOK_S)
            observation = await self._look()
        return observation
