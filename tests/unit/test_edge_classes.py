"""What became of the samples of each kind of hardware: on the wire, at the centre, in `edge status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from compose.cli.standing import table
from edge_aggregator.quotas.config import QuotaConfig
from edge_aggregator.status import status
from ingest.contract.batch_wire import decode_batch, encode_batch
from ingest.contract.ledger import ClassCounts
from ingest.contract.reasons import LedgerFinding, SampleRejection
from ingest.contract.topics import device_topic
from ingest.door.audit import Audit, Breach
from tests.edge_bench import SITE, T0, Bench, Sample, edge_config, message, state, telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ingest.contract.batch import RollupBatch
    from ingest.contract.ledger import LedgerEntry

SECOND = 1000


@pytest.fixture
def bench(tmp_path: Path) -> Iterable[Bench]:
    """A gateway of two pumps, a fan and something that says nothing of itself."""
    bench = Bench(edge_config(tmp_path, heartbeat_s=3600.0, allowed_lateness_s=20.0, max_age_s=3600.0))
    pumps = [state(name, hardware="pump") for name in ("p1", "p2")]
    bench.take([*pumps, state("f1", hardware="fan")], T0)
    yield bench
    bench.close()


def minute(bench: Bench) -> None:
    for at in range(T0, T0 + 60 * SECOND, 5 * SECOND):
        bench.take([message(Sample(device, "m", at, 1.0)) for device in ("p1", "p2", "f1", "x")], at)
        bench.flush(at)


def classes(bench: Bench) -> dict[str, ClassCounts]:
    return bench.rooms.ledger.account.classes(bench.rooms.ledger.totals.counts())


def test_each_batch_tells_of_each_class(bench: Bench) -> None:
    minute(bench)
    first, *_, last = [decode_batch(encode_batch(batch)).ledger for batch in bench.batches()]
    assert first.classes == {
        "": ClassCounts(3, 2, 0, 0, 0, 1),
        "fan": ClassCounts(3, 2, 0, 0, 0, 1),
        "pump": ClassCounts(6, 4, 0, 0, 0, 2),
    }
    assert last.classes["pump"].received == 2 * last.classes["fan"].received


def test_what_is_refused_is_of_its_device_where_that_is_known(bench: Bench) -> None:
    minute(bench)
    before = classes(bench)
    bad = [
        telemetry("p1", b"{"),
        telemetry("p1", [1, 2]),
        telemetry("p2", {"ts": "noon", "metrics": {"a": 1, "b": 2}}),
        telemetry("p2", {"ts": -1, "metrics": {"m": 1}}),
        telemetry("p2", {"ts": T0, "metrics": {"m": "text", "": 1, "n": 1e200}}),
        telemetry("p2", {"ts": T0 - 3601 * SECOND, "metrics": {"m": 1}}),
        message(Sample("f1", "m", T0 + 1, 1.0)),  # too late
        message(Sample("f1", "m", T0 + 55 * SECOND, 1.0)),  # a repetition
        telemetry("x", b"{"),
    ]
    topics = (device_topic(SITE, "p1", "telemetry"), device_topic(SITE, "nobody", "telemetry"))
    bench.take(bad, T0 + 60 * SECOND, oversized=topics)
    bench.flush(T0 + 10_000 * SECOND)
    rejected = {name: counts.rejected - before[name].rejected for name, counts in classes(bench).items()}
    assert rejected == {"pump": 3 + 2 + 1 + 3 + 1 + 1, "fan": 1, "": 2}
    assert classes(bench)["fan"].duplicate == 1
    assert bench.rooms.ledger.totals.rejected[SampleRejection.TOO_LARGE] == 2
    assert bench.batches()[-1].ledger.balances()


def test_what_exceeds_a_quota_is_of_its_device(tmp_path: Path) -> None:
    quotas = {"samples_per_s": 1.0, "burst_s": 5.0, "overflow_factor": 1.0}
    bench = Bench(edge_config(tmp_path, heartbeat_s=3600.0, quotas=msgspec.convert(quotas, QuotaConfig)))
    bench.take([state("p1", hardware="pump")], T0)
    bench.take(
        [message(Sample(device, "m", T0 + at, 1.0)) for device, sent in (("p1", 12), ("x", 3)) for at in range(sent)],
        T0,
    )
    assert classes(bench) == {"": ClassCounts(3, 0, 0, 0, 0, 3), "pump": ClassCounts(12, 0, 0, 2, 0, 10)}
    bench.close()


def test_a_device_takes_its_account_along_to_another_class(bench: Bench) -> None:
    minute(bench)
    bench.take([state("x", hardware="fan")], T0 + 60 * SECOND)
    bench.restart()
    assert classes(bench).keys() == {"fan", "pump"}
    assert classes(bench)["fan"].received == classes(bench)["pump"].received == 24


def test_status_tells_of_each_class(bench: Bench, tmp_path: Path) -> None:
    minute(bench)
    found = status(tmp_path / "edge")
    assert found.balanced
    assert {name: ClassCounts(**counts) for name, counts in found.classes.items()} == classes(bench)
    lines = table(found, None, bench.config, T0, "it rests").splitlines()
    assert "pump: 24 received = 20 rolled up + 0 duplicate + 0 rejected + 0 dropped + 4 open" in "\n".join(lines)
    assert [line.split()[:2] for line in lines if line.startswith("by hardware")] == [["by", "hardware"]]


def tampered(batches: Sequence[RollupBatch], number: int, **classes: ClassCounts) -> list[LedgerEntry]:
    """What the centre reads of batches, of which one tells something else of some classes."""
    entries = [decode_batch(encode_batch(batch)).ledger for batch in batches]
    entries[number] = msgspec.structs.replace(entries[number], classes=entries[number].classes | classes)
    return entries


def first_breach(entries: Iterable[LedgerEntry]) -> Breach | None:
    audit = Audit()
    for entry in entries:
        audit = audit.after(entry, T0)
    return audit.breach


def test_the_centre_names_the_first_batch_at_which_a_class_breaks(bench: Bench) -> None:
    minute(bench)
    batches = bench.batches()
    pump, fan = (batches[2].ledger.classes[name] for name in ("pump", "fan"))
    assert first_breach(tampered(batches, 2)) is None
    less = tampered(batches, 2, pump=msgspec.structs.replace(pump, rolled_up=pump.rolled_up - 1))
    assert first_breach(less) == first_breach(reversed(less)) == Breach(3, LedgerFinding.UNBALANCED)
    # What one class loses another one has: neither balances, though the classes still add up.
    fan_more = msgspec.structs.replace(fan, rolled_up=fan.rolled_up + 1)
    both = tampered(batches, 2, pump=msgspec.structs.replace(pump, rolled_up=pump.rolled_up - 1), fan=fan_more)
    assert first_breach(both) == first_breach(reversed(both)) == Breach(3, LedgerFinding.UNBALANCED)
    # And where all balances, the entry is not the one that the next one follows.
    balanced = tampered(
        batches,
        2,
        pump=ClassCounts(pump.received - 1, pump.rolled_up - 1, 0, 0, 0, pump.open),
        fan=ClassCounts(fan.received + 1, fan.rolled_up + 1, 0, 0, 0, fan.open),
    )
    assert first_breach(balanced) == first_breach(reversed(balanced)) == Breach(4, LedgerFinding.CHAIN_BROKEN)
