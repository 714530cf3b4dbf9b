"""The account by class: whatever comes in whatever order, is dropped, made coarser or restarted, each class balances.

And each is what a naive loop over all that was sent and all that was stored adds up to.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.by_device import of_some
from edge_aggregator.class_account import MOST_CLASSES, OTHER, UNKNOWN, DeviceAccount, by_class
from edge_aggregator.config import MetricConfig
from ingest.contract.batch import RollupBatch
from ingest.contract.batch_wire import decode_batch
from ingest.contract.ledger import ClassCounts
from ingest.contract.topics import ROLLUPS, device_topic
from tests.edge_bench import SITE, T0, Bench, Sample, Window, edge_config, message, rows, state, telemetry
from tests.examples import examples

LATENESS_MS = 15_000
WIDTH_MS = 10_000
DEVICES = ("a", "b", "c", "d")
HARDWARE = ("", "rev-a", "rev-b", "other")
END = T0 + 10**9

samples = st.builds(
    Sample,
    device=st.sampled_from(DEVICES),
    metric=st.just("m"),
    ts=st.integers(0, 60).map(lambda step: T0 + step * 997),
    value=st.sampled_from([0.1, 3.5]),
)


class Act(NamedTuple):
    """One commit, and what comes after it; `squeeze` leaves the outbox so many bytes for what was not tried yet."""

    described: dict[str, str]
    samples: list[Sample]
    garbage: list[str]
    oversized: list[str]
    flush: bool
    squeeze: int
    send: bool
    restart: bool


acts = st.builds(
    Act,
    described=st.dictionaries(st.sampled_from(DEVICES), st.sampled_from(HARDWARE), max_size=2),
    samples=st.lists(samples, max_size=8),
    garbage=st.lists(st.sampled_from(DEVICES), max_size=2),
    oversized=st.lists(st.sampled_from((*DEVICES, "nobody")), max_size=1),
    flush=st.booleans(),
    squeeze=st.sampled_from([1 << 30, 1 << 30, 3000, 0]),
    send=st.booleans(),
    restart=st.integers(0, 3).map(lambda number: number == 0),
)


class Naive:
    """What a device's samples must have come to, in plain loops; whatever was of no device known is of the device ""."""

    def __init__(self) -> None:
        self.hardware: dict[str, str] = {}
        self.received, self.rejected, self.open = Counter[str](), Counter[str](), Counter[str]()
        self.taken: dict[str, list[Sample]] = defaultdict(list)
        self.horizon: Counter[str] = Counter()

    def take(self, act: Act) -> None:
        known = {*self.received, *self.hardware, *act.described, *act.garbage, *(one.device for one in act.samples)}
        for device in (*act.garbage, *(device if device in known else "" for device in act.oversized)):
            self.received[device] += 1
            self.rejected[device] += 1
        for sample in act.samples:
            self.received[sample.device] += 1
            if end(sample) <= self.horizon[sample.device] - LATENESS_MS:
                self.rejected[sample.device] += 1
            else:
                self.open[sample.device] += 1
                self.taken[sample.device].append(sample)
        self.hardware |= {device: said for device, said in act.described.items() if said}

    def flush(self) -> None:
        for device, taken in self.taken.items():
            self.horizon[device] = max([self.horizon[device], *(sample.ts for sample in taken)])
            self.open[device] = sum(end(sample) > self.horizon[device] for sample in taken)

    def by_class(self, counts: Counter[str]) -> dict[str, int]:
        found = Counter[str]()
        for device, count in counts.items():
            found[self.hardware.get(device, UNKNOWN)] += count
        return dict(+found)


def end(sample: Sample) -> int:
    return sample.ts - sample.ts % WIDTH_MS + WIDTH_MS


def stored(batches: list[RollupBatch]) -> Counter[str]:
    """The samples that a store has in the end, by device."""
    newest: dict[Window, tuple[int, int]] = {}
    for batch in batches:
        for revision, window, numbers in rows(batch):
            newest[window] = max(newest.get(window, (-1, 0)), (revision, numbers.count))
    found = Counter[str]()
    for window, (_, count) in newest.items():
        found[window.device] += count
    return found


def column(classes: dict[str, ClassCounts], name: str) -> dict[str, int]:
    return {key: getattr(counts, name) for key, counts in classes.items() if getattr(counts, name)}


def check(bench: Bench, naive: Naive, sent: list[RollupBatch], *, lossless: bool, shown: bool = False) -> None:
    totals, batches = bench.rooms.ledger.totals, [*sent, *bench.batches()]
    classes = bench.rooms.ledger.account.classes(totals.counts())
    assert all(batch.ledger.balances() for batch in batches)
    assert all(bool(batch.ledger.classes) == bool(batch.ledger.received) for batch in batches)
    assert not any(counts.unaccounted() for counts in classes.values())
    for name in ClassCounts.__struct_fields__:
        assert sum(column(classes, name).values()) == getattr(totals.counts(), name)
    assert column(classes, "received") == naive.by_class(naive.received)
    assert column(classes, "rejected") == naive.by_class(naive.rejected)
    if not shown:  # of windows that are shown before they end some samples are rolled up already
        assert column(classes, "open") == naive.by_class(naive.open)
    assert column(classes, "rolled_up") == naive.by_class(stored(batches))
    if lossless:
        distinct = {device: len({sample.ts for sample in taken}) for device, taken in naive.taken.items()}
        whole = not any(naive.open.values())
        twice = Counter({device: len(taken) - distinct[device] for device, taken in naive.taken.items()})
        assert not column(classes, "dropped")
        assert not whole or column(classes, "duplicate") == naive.by_class(twice)


def send(bench: Bench) -> list[RollupBatch]:
    waiting = bench.core.fresh()
    bench.core.sent(waiting)
    values = [one.record.value for one in waiting if one.record.topic == ROLLUPS]
    return [decode_batch(value) for value in values if value]


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(acts, min_size=1, max_size=10), st.sampled_from([0.0, 0.0, 2.0]))
def test_each_class_balances_whatever_happens(story: list[Act], early_s: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = edge_config(
            Path(folder),
            metrics=[MetricConfig(metric="m", width_s=WIDTH_MS / 1000, early_s=early_s)] if early_s else [],
            allowed_lateness_s=LATENESS_MS / 1000,
            heartbeat_s=3600.0,
            idle_close_s=1e5,
            lease_s=1e6,
        )
        bench, naive, sent = Bench(config), Naive(), list[RollupBatch]()
        for act in story:
            take(bench, act)
            naive.take(act)
            if act.flush:
                bench.flush(T0 + 61_000)
                naive.flush()
            lossless = all(act.squeeze > 3000 for act in story)
            check(bench, naive, sent, lossless=lossless, shown=early_s > 0)
            if act.send:
                sent += send(bench)
            if act.restart:
                bench.restart()
                check(bench, naive, sent, lossless=lossless, shown=early_s > 0)
        bench.rooms.room.configure(most_bytes=1 << 30)
        bench.flush(END)
        naive.open.clear()
        check(bench, naive, sent, lossless=lossless)
        bench.close()


def take(bench: Bench, act: Act) -> None:
    said = [state(device, hardware=hardware) for device, hardware in act.described.items()]
    said += [telemetry(device, b"{") for device in act.garbage]
    topics = tuple(device_topic(SITE, device, "telemetry") for device in act.oversized)
    bench.take([*said, *map(message, act.samples)], T0 + 61_000, oversized=topics)
    bench.rooms.room.configure(most_bytes=act.squeeze)


counted = st.tuples(*[st.integers(0, 9)] * 5).map(lambda row: (sum(row), *row))
devices = st.lists(st.tuples(counted, st.sampled_from(["", "a", "b", "other"])), max_size=8)


@given(devices, counted)
def test_classes_are_what_a_loop_adds_up_to(found: list[tuple[tuple[int, ...], str]], beside: tuple[int, ...]) -> None:
    naive: dict[str, list[int]] = {UNKNOWN: list(beside)}
    account = account_of(found)
    for row, name in found:
        naive[name] = [a + b for a, b in zip(naive.get(name, [0] * 6), row, strict=True)]
    totals = ClassCounts(*map(sum, zip(*naive.values(), strict=True)))
    assert {name: list(msgspec.structs.astuple(row)) for name, row in account.classes(totals).items()} == {
        name: row for name, row in naive.items() if any(row)
    }
    assert DeviceAccount(account.save()).open().tolist() == account.open().tolist() == [row[-1] for row, _ in found]


def account_of(found: list[tuple[tuple[int, ...], str]]) -> DeviceAccount:
    account = DeviceAccount()
    for device, (row, hardware) in enumerate(found):
        for name, count in zip(ClassCounts.__struct_fields__[:-1], row, strict=False):
            account.add(name, of_some({device: count}))
        account.describe(device, hardware)
    return account


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30).map(str)), max_size=200))
def test_a_device_is_of_the_class_that_it_has_now(said: list[tuple[int, str]]) -> None:
    account = account_of([((1, 0, 0, 0, 0, 1), "")] * 5)
    naive = dict.fromkeys(range(5), "")
    for device, hardware in said:
        account.describe(device, hardware)
        naive[device] = hardware
    classes = account.classes(ClassCounts(received=5, open=5))
    assert column(classes, "received") == dict(Counter(naive.values()))


def test_the_classes_that_received_most_have_their_own_count() -> None:
    names = [UNKNOWN, *(f"h{number}" for number in range(100))]
    sums = np.array([[number, number, 0, 0, 0, 0] for number in range(101)], np.int64)
    total = int(sums[:, 0].sum())
    classes = by_class(names, sums, ClassCounts(total + 1, total, 0, 1))
    assert len(classes) == MOST_CLASSES + 2
    assert classes[UNKNOWN] == ClassCounts(1, 0, 0, 1)
    assert classes[OTHER].received == sum(range(1, 39))
    assert sum(row.received for row in classes.values()) == total + 1


def test_no_class_has_less_than_nothing() -> None:
    account = account_of([((2, 2, 0, 0, 0, 0), "a")])
    assert account.classes(ClassCounts(1, 1)) == {}
