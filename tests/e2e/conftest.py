"""What the tests in a real browser share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.console_browser import PATIENCE_MS, started_browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with started_browser() as started:
        yield started


@pytest.fixture
def patience() -> Iterator[None]:
    """What a page shows is waited for as long as a loaded machine may take."""
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=5_000)
