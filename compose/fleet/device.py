"""A device that runs: the model's measurements and the agent's answers over an MQTT connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec

import msgspec

from compose.fleet.boot import SLOTS, BootLoader
from compose.fleet.link import BrokerAddress, DeviceLink
from compose.fleet.model import DeviceModel, Happening, Power
from ingest.contract.reasons import CommandRefusal
from ingest.contract.topics import device_topic

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from compose.fleet.agent import Agent, Decision
    from compose.fleet.flash import Flash
    from compose.fleet.release import Registry
    from compose.fleet.timekeeper import Timekeeper
    from ingest.runtime.clock import Clock

P = ParamSpec("P")
SETTLE_S = 5.0


class Device:
    """One simulated device. With a `timekeeper` it has no clock of its own. `sent` counts the samples handed to MQTT, every repetition included.

    `repeat_share` of its messages are sent twice and `garbage_share` carry a text for a number: real devices do that.
    """

    def __init__(
        self,
        *,
        site: str,
        name: str,
        model: DeviceModel,
        agent: Agent,
        registry: Registry,
        flash: Flash,
        address: BrokerAddress,
        clock: Clock,
        timekeeper: Timekeeper | None = None,
        random: random.Random,
        interval_s: float = 1.0,
        repeat_share: float = 0.0,
        garbage_share: float = 0.0,
    ) -> None:
        self.site, self.name, self.model, self.sent = site, name, model, 0
        self._agent, self._clock, self._random, self._interval_s = agent, clock, random, interval_s
        self._repeat_share, self._garbage_share = repeat_share, garbage_share
        self._registry, self._flash, self._loader = registry, flash, BootLoader(flash)
        if not any(flash.read(slot) for slot in SLOTS):  # as it leaves the factory
            flash.write(SLOTS[0], registry.fetch(model.firmware))
        self._timekeeper = timekeeper
        self._untimely = b""
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
        if not self._agent.firmware:
            await self._start()
        elif self.model.power is Power.RUNNING:
            await self._connect()
        following = self._clock.monotonic() + self._random.random() * self._interval_s
        while not self._stopping.is_set():
            happening = self.model.step(self._clock.monotonic())
            if happening is not None:
                await self._happened(happening)
            if self.model.power is Power.BRICKED:
                return
            await self._work()
            if self.model.works and self._clock.monotonic() >= following:
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

    async def _work(self) -> None:
        while not self._inbox.empty() and self.model.power is Power.RUNNING:
            await self._receive(self._inbox.get_nowait())
        self._ask_for_time()
        if self._agent.to_install and self.model.power is Power.RUNNING:
            await self._follow(self._agent.install, self._now_ms())
        if self._agent.on_trial and self.model.power is Power.RUNNING:
            await self._follow(self._agent.check, self._complaint(), self.model.running_s(self._clock.monotonic()))
            self._work_if_kept()

    def _work_if_kept(self) -> None:
        if self.model.power is Power.RUNNING and not self._agent.on_trial:
            self.model.work(self._clock.monotonic())

    async def _receive(self, envelope: bytes) -> None:
        keeper = self._timekeeper
        if keeper is not None and keeper.is_answer(envelope):
            if keeper.take(envelope, self._clock.monotonic(), self._agent.state.issued) and self._untimely:
                envelope, self._untimely = self._untimely, b""
                self._queue(envelope)
            return
        decision = await self._follow(self._agent.receive, envelope, self._now_ms())
        if any(ack.reason == CommandRefusal.CLOCK_UNSET for ack in decision.acks):
            self._untimely = envelope  # looked at again as soon as the time is known

    def _now_ms(self) -> int:
        return self._timekeeper.now_ms(self._clock.monotonic()) if self._timekeeper else self._clock.now_ms()

    def _ask_for_time(self) -> None:
        request = self._timekeeper.request(self._clock.monotonic()) if self._timekeeper else None
        if request and self.model.power is Power.RUNNING:
            self._link.publish(self._topic("clock"), request)

    async def _follow(self, call: Callable[P, Decision], *args: P.args, **kwargs: P.kwargs) -> Decision:
        # The agent writes to its flash: not on the loop that all devices share.
        decision = await asyncio.to_thread(call, *args, **kwargs)
        for ack in decision.acks:
            self._link.publish(self._topic("ack"), msgspec.json.encode(ack))
        if decision.restart:
            await self._happened(self.model.go_down(self._clock.monotonic()))
        return decision

    def _complaint(self) -> str | None:
        # An image that cannot reach its gateway is no good to anybody.
        return self._registry[self.model.firmware].complaint if self._link.connected() else None

    async def _happened(self, happening: Happening) -> None:
        if happening is Happening.STARTS:
            await self._start()
            return
        await self._settle()
        if happening is Happening.BRICKED:
            await asyncio.to_thread(self._link.freeze)
        elif happening is Happening.CRASHED:
            await asyncio.to_thread(self._link.drop)
        else:
            await asyncio.to_thread(self._link.close)

    async def _start(self) -> None:
        if self._timekeeper:
            self._timekeeper.started()
        slot = await asyncio.to_thread(self._loader.choose)
        release = self._registry.release_of(await asyncio.to_thread(self._flash.read, slot))
        if release is None or not release.starts:
            self.model.hung(self._clock.monotonic())
            return
        if self._agent.firmware or release.version != self.model.firmware:  # else it has been running for long
            self.model.came_up(release.version, self._clock.monotonic())
        await self._connect()
        await self._follow(self._agent.started, slot, release.version)
        self._work_if_kept()

    async def _connect(self) -> None:
        self._link.will(self._topic("state"), self._state("lost"))
        await asyncio.to_thread(self._link.connect)
        self._link.publish(self._topic("state"), self._state("online"), retain=True)

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
