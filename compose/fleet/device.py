"""A device that runs: the model's measurements and the agent's answers over an MQTT connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from compose.fleet.agent import Decision, load_state, save_state
from compose.fleet.link import BrokerAddress, DeviceLink
from compose.fleet.model import DeviceModel, Happening, Power
from ingest.contract.topics import device_topic

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from compose.fleet.agent import Agent
    from ingest.runtime.clock import Clock

SETTLE_S = 5.0


class Device:
    """One simulated device. `sent` counts the samples handed to MQTT, every repetition included.

    `repeat_share` of its messages are sent twice and `garbage_share` carry a text for a number: real devices do that.
    """

    def __init__(
        self,
        *,
        site: str,
        name: str,
        model: DeviceModel,
        agent: Agent,
        address: BrokerAddress,
        folder: Path,
        clock: Clock,
        random: random.Random,
        interval_s: float = 1.0,
        repeat_share: float = 0.0,
        garbage_share: float = 0.0,
    ) -> None:
        self.site, self.name, self.model, self.sent = site, name, model, 0
        self._agent, self._clock, self._random, self._interval_s = agent, clock, random, interval_s
        self._repeat_share, self._garbage_share = repeat_share, garbage_share
        self._state_path = folder / f"{site}.{name}.json"
        self._agent.state = load_state(self._state_path)
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(100)
        self._loop = asyncio.get_running_loop()
        self._link = DeviceLink(address, name, self._topic("command"), self._take)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `run` finish: what was sent is acknowledged first."""
        self._stopping.set()

    async def run(self) -> None:
        """Live until stopped or bricked; may be run again."""
        self._stopping.clear()
        await self._connect()
        following = self._clock.monotonic() + self._random.random() * self._interval_s
        while not self._stopping.is_set():
            happening = self.model.step(self._clock.monotonic())
            if happening is not None:
                await self._happened(happening)
            if self.model.power is Power.BRICKED:
                return
            await self._commands()
            if self.model.power is Power.RUNNING and self._clock.monotonic() >= following:
                self._report()
                following += self._interval_s
            await self._clock.sleep(0.05)
        await self._settle()
        await asyncio.to_thread(self._link.close)

    def _take(self, payload: bytes) -> None:
        self._loop.call_soon_threadsafe(self._queue, payload)

    def _queue(self, payload: bytes) -> None:
        if not self._inbox.full():  # a command that finds no room is sent again by the gateway
            self._inbox.put_nowait(payload)

    async def _commands(self) -> None:
        while not self._inbox.empty() and self.model.power is Power.RUNNING:
            decision = self._agent.receive(self._inbox.get_nowait(), self.model.firmware, self._clock.now_ms())
            await asyncio.to_thread(save_state, self._agent.state, self._state_path)
            self._answer(decision)
            if decision.install:
                await self._happened(self.model.install(decision.install, self._clock.monotonic()))

    async def _happened(self, happening: Happening) -> None:
        if happening is Happening.BOOTED:
            await self._connect()
            return
        await self._settle()
        if happening is Happening.BRICKED:
            await asyncio.to_thread(self._link.freeze)
        elif happening is Happening.CRASHED:
            await asyncio.to_thread(self._link.drop)
        else:
            await asyncio.to_thread(self._link.close)

    async def _connect(self) -> None:
        self._link.will(self._topic("state"), self._state("lost"))
        await asyncio.to_thread(self._link.connect)
        self._link.publish(self._topic("state"), self._state("online"), retain=True)
        decision = self._agent.booted(self.model.firmware)
        await asyncio.to_thread(save_state, self._agent.state, self._state_path)
        self._answer(decision)

    async def _settle(self) -> None:
        # What has left the sensors waits in flash until it is acknowledged: a reboot loses none of it.
        until = self._clock.monotonic() + SETTLE_S
        while self._link.unacknowledged() and self._clock.monotonic() < until:
            await self._clock.sleep(0.02)

    def _report(self) -> None:
        metrics: dict[str, float | str] = dict(self.model.metrics(self._clock.monotonic()))
        if self._random.random() < self._garbage_share:
            metrics["temperature_c"] = "n/a"
        payload = msgspec.json.encode({"ts": self._clock.now_ms(), "metrics": metrics})
        for _ in range(2 if self._random.random() < self._repeat_share else 1):
            self._link.publish(self._topic("telemetry"), payload)
            self.sent += len(metrics)

    def _answer(self, decision: Decision) -> None:
        for ack in decision.acks:
            self._link.publish(self._topic("ack"), msgspec.json.encode(ack))

    def _state(self, state: str) -> bytes:
        model = self.model
        return msgspec.json.encode(
            {
                "state": state,
                "firmware": model.firmware,
                "hardware": model.hardware,
                "group": model.group,
                "boot": model.boot,
            }
        )

    def _topic(self, channel: str) -> str:
        return device_topic(self.site, self.name, channel)
