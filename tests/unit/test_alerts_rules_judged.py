"""What judges series by rules: signed batches in, conditions out, across restarts, changed rules and a full room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rules.kinds import SeriesRule
from analytics.rules.partition import Partition
from analytics.rules.stage import RulesStage
from ingest.contract.batch import DeviceRow
from ingest.contract.events import ConditionEvent, ConditionStatus
from ingest.runtime.gateways import Gateways
from ingest.runtime.telemetry import Telemetry
from tests.alert_world import T0, taken
from tests.rollup_batches import ORIGIN, Row, make_batch
from tests.ruled import HOT, rules
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from ingest.contract.batch import RollupBatch


class Judged:
    """A stage of rules about series, fed with signed batches."""

    def __init__(self, text: str) -> None:
        self.gateway, self.now = SignedGateway(ORIGIN), T0
        self.rules = [rule for rule in rules(text) if isinstance(rule, SeriesRule)]
        self.telemetry = Telemetry("test")
        self.parts: dict[str, bytes] = {}
        self.start()

    def start(self) -> None:
        self.stage = RulesStage(self.rules, Gateways([self.gateway.config]), self.telemetry, 1000, 10**9)
        self.stage.restore(self.parts)

    def feed(self, batch: RollupBatch) -> list[ConditionEvent]:
        self.now += 1000
        result = self.stage.step([taken(self.gateway.sign(batch))], self.now)
        if result.changed:
            self.parts |= self.stage.snapshot()
        return [msgspec.json.decode(record.value or b"", type=ConditionEvent) for record in result.outgoing]


def test_the_stage_judges_what_gateways_sign_and_continues_after_a_restart() -> None:
    judged = Judged(HOT + "leave = 1.0\n")
    (holds,) = judged.feed(make_batch([Row(values=(3.0,)), Row(device="pump-2", values=(1.0,))]))
    assert (holds.device, holds.status, holds.value, holds.bound) == ("pump-1", ConditionStatus.HOLDS, 3.0, 2.0)
    assert (holds.firmware, holds.hardware, holds.group) == ("2.2.0", "rev-a", "pumps")
    judged.start()
    assert not judged.feed(make_batch([Row(start=T0 + 10_000, values=(1.5,))], seq=2))
    historical = msgspec.structs.replace(make_batch([Row(start=T0 + 20_000, values=(0.5,))], seq=3), historical=True)
    assert not judged.feed(historical)
    (over,) = judged.feed(make_batch([Row(start=T0 + 20_000, values=(0.5,))], seq=4))
    assert (over.status, over.number > holds.number) == (ConditionStatus.OVER, True)
    forged = msgspec.structs.replace(judged.gateway.sign(make_batch([Row()])), value=b"?")
    assert not judged.stage.step([taken(forged)], T0).outgoing
    assert judged.telemetry.registry.get_sample_value(
        "tidegate_dead_letters_total", {"topic": "telemetry.rollups.v1", "reason": "bad_signature"}
    )


def test_a_forecast_that_holds_says_between_which_times_and_one_that_is_over_does_not() -> None:
    judged = Judged(
        '[[rules]]\nname = "Fills"\nkind = "forecast"\nmetric = "temperature"\nabove = 100.0\nwithin = "10m"\nover = "10m"\n'
    )
    said: list[ConditionEvent] = []
    for n in range(200):  # it climbs by one in ten seconds, to and fro by a little, and at 90 stops
        value = min(40.0 + n, 90.0) + (0.1, -0.1, 0.05, -0.05)[n % 4]
        said += judged.feed(make_batch([Row(start=T0 + n * 10_000, values=(value,))], seq=n + 1))
        if n == 30:
            judged.start()
    holds, *_, over = said
    assert (holds.status, over.status) == (ConditionStatus.HOLDS, ConditionStatus.OVER)
    reached = T0 + 60 * 10_000 + 10_000  # the end of the window in which it would have been 100
    assert holds.earliest_at is not None
    assert holds.latest_at is not None
    assert holds.at < holds.earliest_at < reached < holds.latest_at <= holds.at + 600_000
    assert (over.earliest_at, over.latest_at) == (None, None)


def test_a_device_that_a_rule_is_not_about_any_more_ends_its_alert() -> None:
    judged = Judged(HOT + 'where.firmware = "2.2.0"\n')
    assert judged.feed(make_batch([Row(values=(3.0,))]))
    batch = make_batch([Row(start=T0 + 10_000, values=(3.0,))], seq=2)
    (gone,) = judged.feed(msgspec.structs.replace(batch, devices=[DeviceRow("pump-1", "2.3.0", "rev-a", "pumps")]))
    assert gone.status is ConditionStatus.WITHDRAWN


def test_a_rule_that_is_changed_goes_on_from_where_it_stood() -> None:
    judged = Judged(HOT)
    assert judged.feed(make_batch([Row(values=(3.0,))]))
    judged.rules = [rule for rule in rules(HOT.replace("2.0", "5.0")) if isinstance(rule, SeriesRule)]
    judged.start()
    (over,) = judged.feed(make_batch([Row(start=T0 + 10_000, values=(3.0,))], seq=2))
    assert over.status is ConditionStatus.OVER
    judged.rules = [rule for rule in rules(HOT) if isinstance(rule, SeriesRule)]
    judged.start()
    assert judged.feed(make_batch([Row(start=T0 + 20_000, values=(3.0,))], seq=3))
    judged.rules = [rule for rule in rules(HOT.replace("temperature", "pressure")) if isinstance(rule, SeriesRule)]
    judged.start()
    (gone,) = judged.feed(make_batch([Row(start=T0 + 30_000, values=(3.0,))], seq=4))
    assert gone.status is ConditionStatus.WITHDRAWN


def test_when_there_is_no_room_the_longest_silent_make_way() -> None:
    written = [rule for rule in rules(HOT) if isinstance(rule, SeriesRule)]
    partition = Partition(written, 4, forget_ms=60_000)
    assert partition.take(make_batch([Row(device="a", values=(3.0,)), Row(device="b", values=(1.0,))]))
    rows = [Row(device=f"c{n}", start=T0 + 100_000, values=(3.0,)) for n in range(4)]
    said = [finding.said.name for finding in partition.take(make_batch(rows, seq=2))]
    assert said == ["HOLDS"] * 3  # a fires and stays, b is forgotten
    assert partition.counts["no_room"] == 1
    assert {partition.series.name(n)[0].device for n in range(4)} == {"a", "c0", "c1", "c2"}
