"""What every Log does, whatever it is made of: each adapter's test module runs all of it on its own `place`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.log_groups import GroupBehaviour
from tests.contract.log_records import RecordBehaviour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.log_place import LogPlace


class LogBehaviour(RecordBehaviour, GroupBehaviour):
    """The suite. A subclass has a fixture `place`."""

    @pytest.fixture
    async def tidy(self, place: LogPlace) -> AsyncIterator[None]:
        yield
        await place.closing.aclose()

    @pytest.fixture(autouse=True)
    def _tidied(self, tidy: None) -> None:
        """Everything that a test opened is closed, also when it failed."""
