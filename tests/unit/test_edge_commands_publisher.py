"""How commands go down to devices: one of a device at a time, the oldest first, again with growing pauses until answered."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from edge_aggregator.commands.publisher import MOST_AT_ONCE, Publisher
from edge_aggregator.commands.table import Known
from ingest.contract.topics import device_topic
from ingest.runtime.clock import ManualClock
from tests.edge_bench import SITE, T0
from tests.edge_orders import Downlink

if TYPE_CHECKING:
    pass


def known(command: str, device: str, counter: int) -> Known:
    return Known(
        command=command,
        device=device,
        counter=counter,
        expires=T0,
        envelope=command.encode(),
        trace="",
        status="waiting",
    )


def publisher_of(clock: ManualClock, downlink: Downlink) -> Publisher:
    return Publisher(None, None, downlink, SITE, clock=clock, retry_s=1.0)  # type: ignore[arg-type]  # the pure part


@pytest.mark.parametrize(("answer", "most_s"), [(True, 60.0), (False, 10.0)])
async def test_commands_are_published_again_with_growing_pauses(*, answer: bool, most_s: float) -> None:
    clock, downlink = ManualClock(), Downlink(answer=answer)
    publisher = publisher_of(clock, downlink)
    publisher.take([known("c1", "pump", 1)], ())
    times = []
    for _ in range(4000):
        before = len(downlink.published)
        publisher.send_due()
        await asyncio.sleep(0)
        times += [clock.monotonic()] * (len(downlink.published) - before)
        clock.advance(0.25)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert 10 < len(times) < 500
    assert max(pauses) <= most_s + 0.25
    assert max(pauses) > most_s / 3
    assert downlink.published[0] == (device_topic(SITE, "pump", "command"), b"c1")


async def test_one_command_of_a_device_at_a_time_the_oldest_first() -> None:
    clock, downlink = ManualClock(), Downlink(answer=None)
    publisher = publisher_of(clock, downlink)
    publisher.take([known("p1", "pump", 1), known("p2", "pump", 2), known("f1", "fan", 1)], ())
    publisher.send_due()
    assert downlink.commands() == ["p1", "f1"]
    publisher.send_due()
    assert downlink.commands() == ["p1", "f1"]
    downlink.answer_all()
    assert downlink.commands() == ["p1", "f1", "p2"]


async def test_many_go_at_once_in_the_order_of_the_centre_and_no_more_than_that() -> None:
    clock, downlink = ManualClock(), Downlink(answer=None)
    publisher = publisher_of(clock, downlink)
    names = [f"c{number}" for number in range(3 * MOST_AT_ONCE)]
    publisher.take([known(name, f"d-{name}", 1) for name in names], ())
    publisher.send_due()
    assert downlink.commands() == names[:MOST_AT_ONCE]
    downlink.answer_all()
    assert downlink.commands() == names[: 2 * MOST_AT_ONCE]  # at once, without another look
    downlink.answer_all()
    assert downlink.commands() == names


async def test_what_was_never_sent_goes_before_repeats_which_wait_for_their_time() -> None:
    clock, downlink = ManualClock(), Downlink(answer=None)
    publisher = publisher_of(clock, downlink)
    names = [f"c{number}" for number in range(2 * MOST_AT_ONCE)]
    publisher.take([known(name, f"d-{name}", 1) for name in names], ())
    publisher.send_due()
    clock.advance(3600.0)
    downlink.answer_all()
    clock.advance(3600.0)
    publisher.take([known("late", "d-late", 1)], ())
    downlink.answer_all()
    assert downlink.commands() == [*names, "late", *names[: MOST_AT_ONCE - 1]]


async def test_what_was_answered_is_not_published_any_more() -> None:
    clock, downlink = ManualClock(), Downlink(answer=None)
    publisher = publisher_of(clock, downlink)
    publisher.take([known("c1", "pump", 1), known("c2", "fan", 1)], ())
    publisher.send_due()
    publisher.take((), ["c1"])
    downlink.answer_all()
    publisher.take([known("c2", "fan", 1)], ())  # known already
    clock.advance(3600.0)
    publisher.send_due()
    assert downlink.commands() == ["c1", "c2", "c2"]
