"""A stream ends with the token that opened it: one that has expired or was revoked is told nothing more."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

LOOK_S = 1.0


async def while_allowed(
    parts: AsyncGenerator[bytes, None], allowed: Callable[[], bool], monotonic: Callable[[], float]
) -> AsyncGenerator[bytes, None]:
    """The parts until `allowed` says no, which is asked before a part, at most once in `LOOK_S` (s)."""
    looked = monotonic()
    async with aclosing(parts):
        async for part in parts:
            if monotonic() - looked >= LOOK_S:
                looked = monotonic()
                if not allowed():
                    return
            yield part
