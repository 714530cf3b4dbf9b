"""Devices on a gateway: an image is kept once it has passed its own check, and what is no good falls back by itself."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from compose.fleet.agent import Address, Agent
from compose.fleet.device import Device
from compose.fleet.flash import FolderFlash
from compose.fleet.link import BrokerAddress
from compose.fleet.model import DeviceModel
from compose.fleet.timekeeper import ANSWER_WITHIN_S, Timekeeper
from ingest.contract.commands import key_id
from ingest.contract.events import AckEvent
from ingest.contract.records import Outgoing, read_event
from ingest.contract.topics import ACKS, COMMANDS, DEVICES
from ingest.runtime.clock import SystemClock
from ingest.runtime.secrets import load_private_key
from tests.device_world import BRICK, NEW, OLD, REGISTRY, SICK, command
from tests.edge_bench import SITE
from tests.edge_site import Site, site
from tests.mqtt_intake import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from compose.fleet.release import Release

CLOCK = SystemClock()


def device(here: Site, folder: Path, timekeeper: Timekeeper | None = None) -> Device:
    chance = random.Random(1)
    public = here.centre.public_key()
    flash = FolderFlash(folder, "pump-1")
    return Device(
        site=SITE,
        name="pump-1",
        model=DeviceModel(
            hardware="rev-a",
            group="pumps",
            firmware=OLD.version,
            registry=REGISTRY,
            random=chance,
            now=CLOCK.monotonic() - 3600,
        ),
        agent=Agent(Address("acme", SITE, "pump-1"), {key_id(public): public}, REGISTRY, flash),
        registry=REGISTRY,
        flash=flash,
        address=BrokerAddress(host="127.0.0.1", port=here.port),
        clock=CLOCK,
        random=chance,
        interval_s=0.2,
        timekeeper=timekeeper,
    )


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 - devices set no event of ours
            await asyncio.sleep(0.05)


async def answers(here: Site) -> list[tuple[str, str, str]]:
    acks = [read_event(record, AckEvent) for record in await here.records(ACKS)]
    return [(ack.status.value, ack.firmware, ack.reason) for ack in acks if ack]


async def known(here: Site) -> bool:
    return any(b"pump-1" in record.key for record in await here.records(DEVICES))


async def send(here: Site, **changes: Any) -> None:
    now = CLOCK.now_ms()
    envelope = command(here.centre, **({"site": SITE, "issued": now, "expires": now + 600_000} | changes))
    await here.log.append([Outgoing(COMMANDS, SITE.encode(), envelope)])


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        (NEW, ("done", "2.3.0", "")),
        (BRICK, ("failed", "2.2.0", "the image did not come up, or not for long")),
        (SICK, ("failed", "2.2.0", "no sensor answers")),
    ],
    ids=["good", "hangs", "sick"],
)
async def test_a_device_says_what_became_of_an_image(
    release: Release, wanted: tuple[str, str, str], tmp_path: Path
) -> None:
    (tmp_path / "device").mkdir()
    async with site(tmp_path) as here, here.running(lease_s=30.0):
        pump = device(here, tmp_path / "device")
        running = asyncio.create_task(pump.run())

        async def answered() -> bool:
            return len(await answers(here)) == 2

        await eventually(partial(known, here))
        await send(here, version=release.version, digest=release.digest())
        await eventually(answered)
        assert await answers(here) == [("accepted", "2.2.0", ""), wanted]
        assert pump.model.firmware == wanted[1]
        pump.stop()
        await running
    kept = msgspec.json.decode((tmp_path / "device" / "pump-1.agent").read_bytes())
    assert (kept["counter"], kept["last_ack"]["status"]) == (7, wanted[0])


class LateKeys(Timekeeper):
    """Asks when it is told to, so that a command comes first."""

    may_ask = False

    def request(self, monotonic: float) -> bytes | None:
        return super().request(monotonic) if self.may_ask else None


async def test_a_device_without_a_clock_waits_for_its_gateways_time(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    async with site(tmp_path) as here, here.running(lease_s=30.0) as edge:
        gateway = load_private_key(str(tmp_path / "gateway.pem")).public_key()
        keeper = LateKeys(Address("acme", SITE, "pump-1"), {key_id(gateway): gateway}, random.Random(1))
        pump = device(here, tmp_path / "device", keeper)
        running = asyncio.create_task(pump.run())

        async def unset() -> bool:
            standing = await edge.standing()
            return standing is not None and standing.commands.get("clock_unset") == 1

        async def done() -> bool:
            return [status for status, *_ in await answers(here)] == ["accepted", "done"]

        async def asked_again() -> bool:
            return keeper.now_ms(CLOCK.monotonic()) > 0  # the new image's start forgot the time

        await eventually(partial(known, here))
        await send(here)
        await eventually(unset)
        assert await answers(here) == []
        keeper.may_ask = True
        await eventually(done)
        await eventually(asked_again)
        assert abs(keeper.now_ms(CLOCK.monotonic()) - CLOCK.now_ms()) < 1000 * ANSWER_WITHIN_S
        pump.stop()
        await running
