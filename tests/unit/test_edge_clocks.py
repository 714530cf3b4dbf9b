"""Clock offsets: found within a minute, moved neither by a backlog nor by a wrong timestamp, kept over a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_aggregator.devices.clocks import MINUTE_MS, Clocks
from edge_aggregator.meters import Meters
from ingest.contract.events import DeviceEvent
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import T0, Bench, edge_config, state, telemetry

if TYPE_CHECKING:
    from pathlib import Path


class Sender:
    """One device that is heard once a second; `behind` is how far its samples are behind (ms)."""

    def __init__(self) -> None:
        self.clocks, self.now, self.newest = Clocks(), T0, -1

    def minutes(self, count: int, behind: int, ahead: int = 0) -> int | None:
        for _ in range(count * 60):
            self.now += 1000
            self.newest = max(self.newest, self.now - behind)
            told = {0: ahead} if ahead else {}
            self.clocks.note([0], np.array([self.newest]), self.now, told)
        return self.clocks.offset(0)


def test_the_least_delay_is_what_counts() -> None:
    sender = Sender()
    rng = np.random.default_rng(7)
    for _ in range(200):
        sender.now += 1000
        delay = 3000 + int(rng.exponential(400))
        sender.newest = max(sender.newest, sender.now - delay)
        sender.clocks.note([0], np.array([sender.newest]), sender.now, {})
    assert -3100 < (sender.clocks.offset(0) or 0) <= -3000


def test_a_backlog_does_not_move_it() -> None:
    sender = Sender()
    assert sender.minutes(16, behind=200) == -200
    sender.newest = -1
    assert sender.minutes(11, behind=36_000_000) == -200
    assert sender.minutes(16, behind=200) == -200


def test_a_clock_that_is_set_is_believed_after_a_while() -> None:
    sender = Sender()
    sender.minutes(16, behind=0)
    sender.newest = -1
    assert sender.minutes(16, behind=5_000) == -5_000


def test_a_wrong_timestamp_does_not_move_it() -> None:
    sender = Sender()
    sender.minutes(16, behind=100)
    sender.newest += 30_000
    assert sender.minutes(1, behind=100) == -100


def test_who_is_ahead_beyond_the_tolerance_is_known_by_what_was_held(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path))
    bench.take([telemetry("fast", {"ts": T0 + 3_600_000, "metrics": {"m": 1.0}})], T0)
    bench.take([telemetry("right", {"ts": T0 - 40, "metrics": {"m": 1.0}}), telemetry("bare", {"m": 1.0})], T0)
    bench.flush(T0 + 1000)
    clocks = bench.rooms.registry.clocks
    found = {bench.rooms.names.devices[device]: ahead for device, ahead in clocks.furthest(3)}
    assert found == {"fast": 3_600_000, "right": -40, "bare": 0}
    bench.restart()
    again = bench.rooms.registry.clocks
    assert again.offsets().tolist() == clocks.offsets().tolist()
    assert bench.core.standing().clocks == {0.0: -40, 0.05: -40, 0.5: 0, 0.95: 3_600_000, 1.0: 3_600_000}
    bench.close()


def test_a_restart_begins_with_what_was_known() -> None:
    sender = Sender()
    sender.minutes(3, behind=700)
    again = Clocks()
    again.restore(sender.clocks.save())
    assert again.offset(0) == -700
    assert again.offset(1) is None
    assert Clocks().distribution() == {}


def test_it_is_told_as_a_distribution_and_in_device_events(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path))
    bench.take([telemetry("late", {"ts": T0 - 2000, "metrics": {"m": 1.0}})], T0)
    bench.take([state("late", firmware="2.0", boot="b")], T0 + 10)
    bench.flush(T0 + 1000)
    records = [waiting.record for waiting in bench.waiting() if waiting.record.topic == "fleet.devices.v1"]
    events = [
        msgspec.json.decode(record.value or b"", type=DeviceEvent)
        for record in records
        if b"change" in (record.value or b"")
    ]
    assert [event.clock_ahead_ms for event in events][-1] == -2000
    port = Telemetry("test")
    Meters(port).begin(bench.core.standing(), T0)
    assert port.registry.get_sample_value("tidegate_edge_clock_offset_seconds", {"level": "0.5"}) == -2.0
    bench.close()


def test_minutes_go_by_the_gateways_time() -> None:
    clocks = Clocks()
    for step in range(40):
        clocks.note([0], np.array([T0 + step * MINUTE_MS]), T0 + step * MINUTE_MS + 5, {})
    assert clocks.offset(0) == -5
