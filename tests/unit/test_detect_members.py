"""Detection over several members: each partition's state goes with it, and nothing that is said changes by a bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rollup_batches import ORIGIN
from tests.signed_gateway import SignedGateway
from tests.unit.test_detect_stage import QUIET, WINDOWS, history, run, stage_for

if TYPE_CHECKING:
    from ingest.contract.records import Outgoing, Record


@pytest.mark.parametrize(
    ("killed", "split", "back"), [(5, 20, QUIET + 3), (QUIET + 2, QUIET + 4, QUIET + 8), (1, 2, 3)]
)
def test_killed_split_over_two_members_and_moved_back_it_says_the_same(killed: int, split: int, back: int) -> None:
    north, south = SignedGateway(), SignedGateway(ORIGIN._replace(site="south", gateway="gw-2"))
    windows = list(zip(history(north, 3), history(south, 5), strict=True))
    expected = _by_key(run(stage_for(north, south)[0], _flat(windows)))
    alone, again = stage_for(north, south)[0], stage_for(north, south)[0]
    found = run(alone, _flat(windows[:killed]))
    saved = dict(alone.snapshot())
    run(alone, _flat(windows[killed : killed + 2]))  # what was done after the last snapshot went with the process
    again.restore(saved)
    found += run(again, _flat(windows[killed:split]))
    saved |= dict(again.snapshot())
    members = {partition: stage_for(north, south)[0] for partition in (3, 5)}
    for partition, member in members.items():
        member.restore({name: part for name, part in saved.items() if name.endswith(f"-{partition}")})
        found += run(member, [record for record in _flat(windows[split:back]) if record.partition == partition])
        saved |= dict(member.snapshot())
    together = stage_for(north, south)[0]
    together.restore(saved)
    found += run(together, _flat(windows[back:WINDOWS]))
    assert _by_key(found) == expected


def _flat(windows: list[tuple[Record, Record]]) -> list[Record]:
    return [record for both in windows for record in both]


def _by_key(events: list[Outgoing]) -> dict[bytes, list[Outgoing]]:
    told: dict[bytes, list[Outgoing]] = {}
    for event in events:
        told.setdefault(event.key, []).append(event)
    return told
