"""A stream that is compressed while it runs: each part can be read when it has come, nothing stays open behind it, and it ends with its token."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from dashboards.api.allowed import while_allowed
from dashboards.api.packed import packed
from ingest.runtime.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=8))
def test_every_part_is_complete_when_it_is_sent(parts: list[bytes]) -> None:
    async def told() -> AsyncGenerator[bytes, None]:
        for part in parts:
            yield part

    async def read() -> None:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        found = [unpacker.decompress(part) async for part in packed(told())]
        assert [part for part in found if part] == parts
        assert unpacker.eof

    asyncio.run(read())


async def test_a_reader_that_leaves_ends_what_was_told() -> None:
    ended = asyncio.Event()

    async def told() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"still here"
        finally:
            ended.set()

    stream = packed(told())
    await anext(stream)
    await stream.aclose()
    assert ended.is_set()


async def test_a_stream_ends_when_its_reader_is_not_allowed_any_more() -> None:
    clock, asked = ManualClock(), 0

    def allowed() -> bool:
        nonlocal asked
        asked += 1
        return asked < 3

    async def told() -> AsyncGenerator[bytes, None]:
        while True:
            clock.advance(0.5)
            yield b"told"

    found = [part async for part in while_allowed(told(), allowed, clock.monotonic)]
    assert len(found) == 5  # asked with every second part
