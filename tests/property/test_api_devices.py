"""Pages of devices and their counts, against going through all of them."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.api import device_order
from dashboards.api.devices import DeviceFilter, DeviceTable
from ingest.contract.events import DeviceChange, DeviceEvent, DeviceState

SITES, NAMES, FIRMWARE = ("east", "north", "north-2"), ("a", "ab", "B", "pump-1"), ("1", "2")
EVENTS = st.builds(
    DeviceEvent,
    tenant=st.just("acme"),
    site=st.sampled_from(SITES),
    gateway=st.just("gw"),
    device=st.tuples(st.sampled_from(NAMES), st.integers(0, 15)).map(lambda parts: f"{parts[0]}{parts[1]}"),
    at=st.just(0),
    change=st.just(DeviceChange.FIRST_SEEN),
    state=st.sampled_from((*[DeviceState.ONLINE] * 40, DeviceState.SILENT)),
    firmware=st.sampled_from((*FIRMWARE[:1] * 40, FIRMWARE[1])),
    hardware=st.sampled_from(("x", "y")),
    group=st.just("g"),
    last_seen=st.just(0),
)
FILTERS = st.builds(
    DeviceFilter,
    site=st.sampled_from(("", *SITES, "nowhere")),
    state=st.sampled_from(("", "online", "silent", "lost")),
    firmware=st.sampled_from(("", *FIRMWARE, "9")),
    hardware=st.sampled_from(("", "x")),
    text=st.sampled_from(("", "AB", "b", "-1", "pump-11", "zz", "\n", "1\na")),
)


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=120), FILTERS, st.integers(1, 9))
def test_pages_hold_what_matches_in_order_each_once(
    events: list[DeviceEvent], wanted: DeviceFilter, limit: int
) -> None:
    table, newest = DeviceTable(1000), {}
    for event in events:
        table.put(event)
        newest[event.site, event.device] = event
    found: list[DeviceEvent] = []
    after = None
    while page := table.page(wanted, after, limit):
        found += page
        after = (page[-1].site, page[-1].device)
    assert found == [newest[key] for key in sorted(newest) if wanted.matches(newest[key])]
    counted = table.summary()
    assert counted.states == Counter(event.state for event in newest.values())
    assert {one.value: one.devices for one in counted.firmware} == Counter(event.firmware for event in newest.values())
    assert table.states_by_site() == {
        site: msgspec.to_builtins(Counter(e.state.value for e in newest.values() if e.site == site))
        for site in {event.site for event in newest.values()}
    }


@settings(max_examples=100)
@given(st.lists(EVENTS, min_size=1, max_size=60), st.integers(1, 9), FILTERS, FILTERS)
def test_devices_that_come_between_pages_are_found_in_their_places(
    events: list[DeviceEvent], portion: int, first: DeviceFilter, second: DeviceFilter
) -> None:
    few, apart = device_order.FEW, device_order.MOST_APART
    device_order.FEW, device_order.MOST_APART = 3, 4  # as in a large fleet, with a small one
    try:
        table, newest = DeviceTable(1000), {}
        for start in range(0, len(events), portion):
            for event in events[start : start + portion]:
                table.put(event)
                newest[event.site, event.device] = event
            for wanted in (first, second):
                assert table.page(wanted, None, 1000) == [
                    newest[key] for key in sorted(newest) if wanted.matches(newest[key])
                ]
    finally:
        device_order.FEW, device_order.MOST_APART = few, apart
