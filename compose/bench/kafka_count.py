"""What arrived in Kafka: samples counted by reading, bytes by the size of the brokers' segments."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from compose.bench.contestants import Contestant, Place
    from ingest.runtime.log.port import Log

_RECORDS = 2_000
_POLL_S = 0.5


class SampleCount:
    """Reads what one run writes and counts its samples: `total`."""

    def __init__(self, log: Log, contestant: Contestant, place: Place) -> None:
        self._log, self._contestant, self._place = log, contestant, place
        self.total = 0
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        topic = self._contestant.counted(self._place)
        consumer = await self._log.subscribe([topic], group=None, member="bench")
        try:
            while True:
                for record in await consumer.poll(_RECORDS, _POLL_S):
                    self.total += self._contestant.samples(record.value or b"", self._place)
                    self._more.set()
        finally:
            await consumer.close()

    async def until(self, samples: int, patience_s: float) -> None:
        """Return when so many have arrived, or nothing more has come for `patience_s`."""
        with contextlib.suppress(TimeoutError):
            while self.total < samples:
                self._more.clear()
                async with asyncio.timeout(patience_s):
                    await self._more.wait()


def segment_bytes(data: Path) -> int:
    """The bytes of all records in a broker's log folder, as producers sent them; its own topics are left out."""
    files = (path for path in data.glob("*/*.log") if not path.parent.name.startswith("__"))
    return sum(path.stat().st_size for path in files)
