"""Devices: who is there, who rebooted, who fell silent, and what of it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.contract.events import DeviceEvent, GatewayEvent
from ingest.contract.records import Record, read_event
from ingest.contract.topics import DEVICES
from tests.edge_bench import T0, Bench, edge_config, state, telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import msgspec

LEASE_S = 10.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(edge_config(tmp_path, lease_s=LEASE_S, heartbeat_s=5.0))
    yield bench
    bench.close()


def events(bench: Bench, kind: type[msgspec.Struct] = DeviceEvent) -> list[Any]:
    found = []
    for waiting in bench.waiting():
        record = waiting.record
        if record.topic == DEVICES and (b"gateway:" in record.key) == (kind is GatewayEvent):
            found.append(read_event(Record(record.topic, 0, 0, record.key, record.value, record.headers, 0), kind))
    return found


def changes(bench: Bench, at: int = T0, listened: float = 0.0) -> list[str]:
    """What was said since the outbox was last emptied."""
    bench.flush(at, listened)
    found = [event.change.value for event in events(bench)]
    bench.core.sent(bench.waiting())
    return found


def alive(device: str = "d", **metrics: float) -> Any:
    return telemetry(device, {"ts": T0, "metrics": metrics or {"t": 1}})


def test_a_device_is_seen_first_once(bench: Bench) -> None:
    bench.take([alive(), alive()], T0)
    assert changes(bench) == ["first_seen"]
    bench.take([alive()], T0 + 1)
    assert changes(bench) == []
    bench.restart()
    bench.take([alive()], T0 + 2)
    assert changes(bench) == []


def test_what_it_says_of_itself_travels(bench: Bench) -> None:
    bench.take([state("d", firmware="1.0", hardware="b", group="g", boot="x")], T0)
    bench.flush(T0)
    [event] = events(bench)
    assert (event.tenant, event.site, event.gateway, event.device) == ("acme", "site-1", "gw-1", "d")
    assert (event.firmware, event.hardware, event.group, event.boot) == ("1.0", "b", "g", "x")
    assert (event.state.value, event.at, event.last_seen) == ("online", T0, 0)


def test_a_new_boot_is_a_reboot_unless_the_firmware_is_new(bench: Bench) -> None:
    bench.take([state("d", firmware="1.0", boot="a")], T0)
    assert changes(bench) == ["first_seen"]
    bench.take([state("d", firmware="1.0", boot="a")], T0)
    assert changes(bench) == []
    bench.take([state("d", firmware="1.0", boot="b")], T0)
    assert changes(bench) == ["rebooted"]
    bench.take([state("d", firmware="2.0", boot="c")], T0)
    bench.flush(T0)
    [event] = events(bench)
    assert (event.change.value, event.previous_firmware, event.firmware, event.reboots) == (
        "installed",
        "1.0",
        "2.0",
        1,
    )
    assert changes(bench) == ["installed"]
    bench.take([state("d", firmware="2.0", boot="c", group="h")], T0)
    assert changes(bench) == ["attributes"]


def test_tags_travel_are_kept_and_are_taken_back_only_by_other_tags(bench: Bench) -> None:
    bench.take([state("d", tags=["pilot", "eu"])], T0)
    bench.flush(T0)
    assert [(event.change.value, event.tags) for event in events(bench)] == [("first_seen", ["eu", "pilot"])]
    assert changes(bench) == ["first_seen"]
    bench.take([state("d", tags=["eu", "pilot"]), state("d")], T0)
    assert changes(bench) == []
    bench.restart()
    bench.take([state("d", tags=[])], T0)
    bench.flush(T0)
    assert [(event.change.value, event.tags) for event in events(bench)][-1] == ("attributes", [])


def test_boots_are_known_after_a_restart(bench: Bench) -> None:
    bench.take([alive()], T0)
    bench.take([state("d", boot="a")], T0)
    assert changes(bench) == ["first_seen"]
    bench.restart()
    bench.take([state("d", boot="b")], T0)
    assert changes(bench) == ["rebooted"]


def test_an_uptime_that_falls_is_a_reboot_where_there_are_no_boots(bench: Bench) -> None:
    for second, uptime in enumerate([100.0, 101.0, 2.0, 3.0]):
        bench.take([telemetry("d", {"ts": T0 + second * 1000, "metrics": {"uptime_s": uptime}})], T0 + second * 1000)
    assert changes(bench, T0 + 3000) == ["first_seen", "rebooted"]
    # A late sample says nothing, and the newest uptime is known after a restart.
    bench.restart()
    bench.take([telemetry("d", {"ts": T0 + 2500, "metrics": {"uptime_s": 0.1}})], T0 + 4000)
    assert changes(bench, T0 + 4000) == []
    bench.take([telemetry("d", {"ts": T0 + 5000, "metrics": {"uptime_s": 1.0}})], T0 + 5000)
    assert changes(bench, T0 + 5000) == ["rebooted"]
    bench.take([state("d", boot="a"), telemetry("d", {"ts": T0 + 6000, "metrics": {"uptime_s": 0.5}})], T0 + 6000)
    assert changes(bench, T0 + 6000) == []


def test_a_reboot_that_comes_with_an_install_is_part_of_it(bench: Bench) -> None:
    bench.take([state("d", firmware="1"), telemetry("d", {"ts": T0, "metrics": {"uptime_s": 900.0}})], T0)
    bench.take([state("d", firmware="2")], T0 + 10_000)
    bench.take([telemetry("d", {"ts": T0 + 11_000, "metrics": {"uptime_s": 3.0}})], T0 + 11_000)
    assert changes(bench) == ["first_seen", "installed"]
    bench.take([telemetry("d", {"ts": T0 + 90_000, "metrics": {"uptime_s": 2.0}})], T0 + 90_000)
    assert changes(bench) == ["rebooted"]


def test_a_lease_that_runs_out_is_a_silence(bench: Bench) -> None:
    bench.take([alive()], T0, listened=0.0)
    assert changes(bench, T0 + 10_000, listened=LEASE_S) == ["first_seen"]
    assert changes(bench, T0 + 10_001, listened=LEASE_S + 0.001) == ["silent"]
    assert changes(bench, T0 + 99_000, listened=99.0) == []
    bench.take([alive()], T0 + 100_000, listened=100.0)
    assert changes(bench, T0 + 100_000, listened=100.0) == ["returned"]


def test_leases_stand_still_while_nobody_can_be_heard(bench: Bench) -> None:
    bench.take([alive()], T0, listened=0.0)
    assert changes(bench, T0 + 3_600_000, listened=9.0) == ["first_seen"]
    assert changes(bench, T0 + 3_602_000, listened=11.0) == ["silent"]


def test_a_restart_begins_leases_anew(bench: Bench) -> None:
    bench.take([alive()], T0, listened=500.0)
    bench.flush(T0, 500.0)
    bench.restart()
    assert changes(bench, T0 + 60_000, listened=9.0) == ["first_seen"]
    assert changes(bench, T0 + 62_000, listened=11.0) == ["silent"]
    bench.restart()
    assert changes(bench, T0 + 99_000, listened=99.0) == []


def test_retained_messages_renew_no_lease(bench: Bench) -> None:
    bench.take([state("d", retain=True, firmware="1")], T0, listened=5.0)
    bench.take([state("d", retain=True, firmware="1")], T0, listened=14.0)
    assert changes(bench, listened=14.0) == ["first_seen"]
    assert changes(bench, listened=15.1) == ["silent"]
    bench.take([state("d", retain=True, firmware="1")], T0, listened=16.0)
    bench.take([telemetry("d", {"ts": T0, "metrics": {"t": 1}}, retain=True)], T0, listened=16.0)
    assert changes(bench, listened=16.0) == []


def test_a_last_will_is_said_and_its_silence_too(bench: Bench) -> None:
    bench.take([state("d", boot="a")], T0)
    bench.take([state("d", state="lost", boot="a")], T0)
    assert changes(bench) == ["first_seen", "lost"]
    assert changes(bench, listened=11.0) == ["silent"]
    bench.take([state("d", state="lost", boot="a")], T0, listened=12.0)
    assert changes(bench, listened=12.0) == []
    bench.take([state("d", boot="a")], T0, listened=13.0)
    assert changes(bench, listened=13.0) == ["returned"]


def test_the_will_of_an_earlier_boot_is_passed_over(bench: Bench) -> None:
    bench.take([state("d", boot="a", firmware="1"), state("d", boot="b", firmware="2")], T0)
    bench.take([state("d", state="lost", boot="a", firmware="1")], T0)
    assert changes(bench) == ["first_seen", "installed"]


def test_a_crash_in_all_its_messages(bench: Bench) -> None:
    bench.take([state("d", boot="a"), alive()], T0)
    bench.take([state("d", state="lost", boot="a")], T0 + 1)
    bench.take([state("d", boot="b")], T0 + 2)
    assert changes(bench) == ["first_seen", "lost", "rebooted", "returned"]


def test_the_retired_are_not_missed(bench: Bench) -> None:
    bench.take([alive()], T0)
    bench.take([alive(), state("d", state="retired")], T0)
    assert changes(bench) == ["first_seen", "retired"]
    assert changes(bench, listened=99.0) == []


def test_heartbeats_say_how_the_site_is(bench: Bench) -> None:
    bench.take([alive("a"), alive("b")], T0, listened=0.0)
    bench.flush(T0 + 1000, 0.0)
    bench.take([alive("a")], T0 + 2000, listened=11.0)
    bench.flush(T0 + 2000, 11.0)
    bench.flush(T0 + 6000, 11.0, cut_off=True)
    beats = events(bench, GatewayEvent)
    # The first one was never sent: what it says, the second one says better.
    assert [(beat.at, beat.devices, beat.silent, beat.cut_off, beat.heartbeat_ms) for beat in beats] == [
        (T0 + 5999, 2, 1, True, 5000),
    ]
    assert beats[0].backlog_bytes > 0


def test_attributes_in_a_batch_are_those_of_the_window(bench: Bench) -> None:
    bench.take(
        [state("d", firmware="1", hardware="b"), telemetry("d", {"ts": T0 + 1000, "metrics": {"t": 1}})], T0 + 1000
    )
    bench.take([state("d", firmware="2")], T0 + 15_000)
    bench.take([telemetry("d", {"ts": T0 + 21_000, "metrics": {"t": 1}})], T0 + 21_000)
    bench.take([telemetry("d", {"ts": T0 + 35_000, "metrics": {"t": 1}})], T0 + 35_000)
    bench.flush(T0 + 35_000)
    [batch] = bench.batches()
    found = {start: batch.devices[d] for d, start in zip(batch.column("device"), batch.column("start"), strict=True)}
    assert {int(start) - T0: (row.firmware, row.hardware) for start, row in found.items()} == {
        0: ("1", "b"),
        20_000: ("2", "b"),
    }
