"""Signed time for devices that ask: each answer is for one device and its nonce."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.commands import key_id, sign_command
from ingest.contract.device_time import CLOCK_UNSET_BEFORE_MS, TIME, SignedTime
from ingest.contract.topics import device_topic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_aggregator.devices.registry import Site
    from edge_aggregator.receive.port import Downlink
    from ingest.runtime.clock import Clock

MOST_AT_ONCE = 64


class TimeGiver:
    """Answers the newest request of each device, `MOST_AT_ONCE` at a time; `given` counts answers that were signed.

    What is not delivered is not sent again: by then it is no longer true, and the device asks anew.
    """

    def __init__(self, key: Ed25519PrivateKey, site: Site, downlink: Downlink, clock: Clock) -> None:
        self._key, self._key_id = key, key_id(key.public_key())
        self._site, self._downlink, self._clock = site, downlink, clock
        self._asked: dict[str, str] = {}
        self._under_way = 0
        self._more = asyncio.Event()
        self.given = 0

    def asked(self, requests: Mapping[str, str]) -> None:
        """Nonces by device."""
        self._asked |= requests
        self._more.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as giving:
            while True:
                await self._more.wait()
                self._more.clear()
                while self._asked and self._under_way < MOST_AT_ONCE:
                    self._under_way += 1
                    giving.create_task(self._give(*self._asked.popitem()))

    async def _give(self, device: str, nonce: str) -> None:
        now = self._clock.now_ms()
        if now >= CLOCK_UNSET_BEFORE_MS:  # who has no time cannot give any
            self.given += 1
            await self._downlink.publish(
                device_topic(self._site.site, device, "command"), self._signed(device, nonce, now)
            )
        self._under_way -= 1
        self._more.set()

    def _signed(self, device: str, nonce: str, now: int) -> bytes:
        answer = SignedTime(
            kind=TIME,
            tenant=self._site.tenant,
            site=self._site.site,
            device=device,
            key=self._key_id,
            nonce=nonce,
            time=now,
        )
        return msgspec.json.encode(sign_command(answer, self._key))
