"""Incidents follow from what was said, not from the order it came in, how it was polled, or who was killed meanwhile."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.incidents.config import IncidentsConfig
from analytics.incidents.stage import IncidentsStage
from ingest.contract.events import Signal, SummaryEvent
from ingest.contract.records import Outgoing, Record, event_record
from ingest.contract.topics import SUMMARIES
from ingest.runtime.telemetry import Telemetry
from tests.incident_world import T0, TENANT, alarm, dark, device, devices_of, over

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MINUTE = 60_000
OTHER = "other"


def history(seed: int) -> list[Signal]:
    """Half an hour: a release, a site, what nothing explains, single faults, some of which come and go."""
    chance = random.Random(seed)
    said = [device(number, T0 - 1) for number in range(480)]
    ill = [(number, T0 + MINUTE + chance.randrange(600) * 1000, "memory") for number in devices_of("2.3.0", "rev-b")]
    ill += [(number, T0 + 5 * MINUTE + chance.randrange(30) * 1000, "voltage") for number in devices_of("site-3")]
    ill += [(number, T0 + 9 * MINUTE + chance.randrange(20) * 1000, "latency") for number in range(7, 400, 41)]
    ill += [(chance.randrange(480), T0 + chance.randrange(1500) * 1000, chance.choice("abc")) for _ in range(20)]
    for number, at, metric in ill:
        said += [alarm(number, at, metric), over(number, at + chance.randrange(5, 900) * 1000, metric)]
    return [*said, dark("site-5", T0 + 8 * MINUTE), dark("site-5", T0 + 12 * MINUTE, active=False)]


def arriving(said: Sequence[Signal], chance: random.Random, tenant: str = TENANT) -> list[SummaryEvent]:
    """In any order that `settle_s` allows for, in summaries of any size; in the end all has settled."""
    late = sorted(said, key=lambda one: one.at + chance.randrange(1900))
    summaries, clock = [], T0
    while late:
        ours, late = late[: (size := chance.randint(1, 20))], late[size:]
        # The clock is behind all that is still to come, and ahead of all that has come.
        clock = max(clock, min(max(one.at for one in ours), min((one.at for one in late), default=1 << 60) + 1900))
        summaries.append(SummaryEvent(tenant=tenant, at=clock, signals=ours))
    return [*summaries, SummaryEvent(tenant=tenant, at=clock + 40 * MINUTE)]


def records(*of_tenants: tuple[int, list[SummaryEvent]]) -> list[Record]:
    """Of each partition its summaries, one after another as they would be polled."""
    found = []
    for partition, summaries in of_tenants:
        for offset, summary in enumerate(summaries):
            made = event_record(SUMMARIES, summary.tenant, summary, event_id="e", source="t", time=summary.at)
            found.append(
                (summary.at, offset, Record(made.topic, partition, offset, made.key, made.value, made.headers, T0))
            )
    return [record for _, _, record in sorted(found, key=lambda item: item[:2])]


def stage() -> IncidentsStage:
    return IncidentsStage(IncidentsConfig(), Telemetry("test"))


def told(outgoing: Iterable[Outgoing]) -> list[tuple[bytes, bytes | None]]:
    return sorted((record.key, record.value) for record in outgoing)


def run(worker: IncidentsStage, taken: Sequence[Record]) -> list[Outgoing]:
    return [event for record in taken for event in worker.step([record], 0).outgoing]


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_any_order_up_to_the_watermark_leads_to_the_same_incidents(seed: int, order: int) -> None:
    said = history(seed)
    expected = told(run(stage(), records((0, arriving(said, random.Random(1))))))
    assert told(run(stage(), records((0, arriving(said, random.Random(order)))))) == expected
    assert len(expected) > 30


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.data())
def test_kills_splits_over_two_members_and_moves_back_change_no_bit(seed: int, data: st.DataObject) -> None:
    chance = random.Random(seed)
    all_of_it = records((3, arriving(history(seed), chance)), (5, arriving(history(seed + 1), chance, OTHER)))
    expected = told(run(stage(), all_of_it))
    first, second, third = sorted(data.draw(st.lists(st.integers(0, len(all_of_it)), min_size=3, max_size=3)))
    alone, north, south, back = stage(), stage(), stage(), stage()
    found = run(alone, all_of_it[:first])
    saved = dict(alone.snapshot())
    found += _lost(
        alone, all_of_it[first : first + 3]
    )  # what a killed process did after its last snapshot is not there
    north.restore(_of(saved, 3))
    south.restore(_of(saved, 5))
    split = all_of_it[first:second]
    found += run(north, [record for record in split if record.partition == 3])
    found += run(south, [record for record in split if record.partition == 5])
    saved |= dict(north.snapshot()) | dict(south.snapshot())
    back.restore(saved)
    found += run(back, all_of_it[second:third])
    saved |= dict(back.snapshot())
    again = stage()
    again.restore(saved)
    assert told(found + run(again, all_of_it[third:])) == expected


def test_it_does_not_matter_how_records_are_polled() -> None:
    all_of_it = records((0, arriving(history(1), random.Random(2))))
    at_once = stage().step(all_of_it, 0).outgoing
    assert at_once == run(stage(), all_of_it)
    assert len({dict(record.headers)["ce_id"] for record in at_once}) == len(at_once)


def _of(parts: dict[str, bytes], partition: int) -> dict[str, bytes]:
    return {name: part for name, part in parts.items() if name.split("/")[1] == str(partition)}


def _lost(worker: IncidentsStage, taken: Sequence[Record]) -> list[Outgoing]:
    run(worker, taken)
    return []
