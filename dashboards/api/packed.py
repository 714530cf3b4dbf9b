"""A stream that is compressed while it runs: what was said so far can be read at once (RFC 1952, flushed after each part)."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LEVEL = 4
_WINDOW_BITS, _MEMORY_LEVEL = 13, 6
"""32 KiB and 32 KiB for each reader instead of 128 and 128: events are alike, what helps stands near."""
_GZIP = 16


async def packed(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The parts as one gzip stream, each complete when it is sent; ends `parts` when it ends."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP + _WINDOW_BITS, _MEMORY_LEVEL)
    async with aclosing(parts):
        async for part in parts:
            yield packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
