"""Soaks of means, quantiles and counts against a naive oracle that keeps every sample."""

from __future__ import annotations

import math
import random
from itertools import takewhile

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.arrays import decode_arrays, encode
from analytics.rollouts.sketched import Sketched
from analytics.rollouts.soaking import Soaking
from analytics.rollouts.statistics import statistics_of
from ingest.contract.events import Guard, GuardKind
from ingest.contract.sketch import quantiles, sketch
from tests.examples import examples
from tests.rollup_batches import ORIGIN, Row, make_batch

GUARDS = [
    Guard(name="mean", kind=GuardKind.SOAK, metric="latency"),
    Guard(name="tail", kind=GuardKind.SOAK, metric="latency", quantile=0.9),
    Guard(name="middle", kind=GuardKind.SOAK, metric="latency", quantile=0.5),
    Guard(name="errors", kind=GuardKind.COUNT, margin=0.3),
    Guard(name="doors", kind=GuardKind.COUNT, metric="door", margin=0.3),
]
DEVICES = ["a", "b", "c"]
WIDTH, DRAWN_AT, FROM, UNTIL = 10, 200, 300, 600


def row_of(chance: random.Random, device: str, start: int) -> Row:
    metric = chance.choice(["latency", "latency", "errors", "door", "heap"])
    values = tuple(round(chance.uniform(-5, 100), 3) for _ in range(chance.randint(1, 5)))
    return Row(
        device=device,
        metric=metric,
        labels=(("core", "1"),) if chance.random() < 0.1 else (),
        start=start,
        width=chance.choice([WIDTH, WIDTH, 3 * WIDTH]),
        values=values,
        quantiles=metric == "latency" and chance.random() < 0.8,
        growth=(float(chance.randint(0, 9)), 0) if metric == "errors" and chance.random() < 0.8 else None,
        changes=chance.randint(0, len(values)) if metric == "door" else None,
    )


def batches_of(seed: int) -> list[list[Row]]:
    """Windows before the draw and after it, some twice, some out of order."""
    chance = random.Random(seed)
    starts = sorted(chance.choice(range(0, 700, WIDTH)) for _ in range(chance.randint(0, 60)))
    rows = [row_of(chance, chance.choice(DEVICES), start) for start in starts]
    rows += chance.sample(rows, len(rows) // 4)
    portions, found = [rows[at : at + 8] for at in range(0, len(rows), 8)], []
    for portion in portions:
        unique = {(row.device, row.metric, row.labels, row.start, row.width): row for row in portion}
        found.append(list(unique.values()))
    return found


def says(guard: Guard, row: Row) -> bool:
    if row.labels or row.metric != (guard.metric or guard.name):
        return False
    if guard.kind is GuardKind.COUNT:
        return row.growth is not None or row.changes is not None
    return guard.quantile is None or row.quantiles


def taken(guard: Guard, rows: list[Row], device: str) -> list[Row]:
    """Each window once and in order of time."""
    found: list[Row] = []
    for row in rows:
        if row.device == device and says(guard, row) and (not found or row.start > found[-1].start):
            found.append(row)
    return found


def value_of(guard: Guard, rows: list[Row]) -> float:
    if not rows:
        return math.nan
    if guard.kind is GuardKind.COUNT:
        return float(sum(row.growth[0] if row.growth else row.changes or 0 for row in rows))
    samples = np.array([value for row in rows for value in row.values])
    if guard.quantile is None:
        return sum(sum(row.values) for row in rows) / len(samples)
    whole = sketch(np.zeros(len(samples), np.int64), samples, 1)
    return float(quantiles(whole, [guard.quantile])[0, 0])


@settings(max_examples=examples(150))
@given(st.integers(0, 1 << 32))
def test_every_devices_statistics_are_those_of_all_its_samples(seed: int) -> None:
    batches, saved = batches_of(seed), seed % 2 == 0
    before = list(takewhile(lambda rows: all(row.start < DRAWN_AT for row in rows), batches))
    soaking = Soaking(statistics=statistics_of(GUARDS))
    for number, rows in enumerate(batches):
        if number == len(before):
            for device in DEVICES:
                soaking.begin(f"{ORIGIN.site}/{device}", FROM, UNTIL)
            soaking.forget_strangers(ORIGIN.site, soaking.spans)
        soaking.add(make_batch(rows), measure_past=number < len(before))
        if saved:
            soaking = msgspec.msgpack.decode(encode(soaking), type=Soaking, dec_hook=decode_arrays)
    if len(before) == len(batches):
        return
    past = [row for rows in before for row in rows]
    inside = [
        row for rows in batches[len(before) :] for row in rows if row.start >= FROM and row.start + row.width <= UNTIL
    ]
    for device in DEVICES:
        found = {name: (value, own) for name, value, own in soaking.finish(f"{ORIGIN.site}/{device}")}
        expected = {}
        for guard in GUARDS:
            value, own = (value_of(guard, taken(guard, rows, device)) for rows in (inside, past))
            if not math.isnan(value):
                counts = guard.kind is GuardKind.COUNT
                expected[guard.statistic()] = (value, None if counts or math.isnan(own) else own)
        assert found.keys() == expected.keys()
        for name, (value, own) in expected.items():
            assert found[name][0] == pytest.approx(value, abs=1e-9)
            assert found[name][1] == (None if own is None else pytest.approx(own, abs=1e-9))


@settings(max_examples=examples(100))
@given(st.integers(0, 1 << 32))
def test_sketches_that_are_added_up_by_name_are_those_of_all_samples_and_few_are_kept(seed: int) -> None:
    chance = random.Random(seed)
    sketched, all_of = Sketched(), dict[str, list[float]]()
    for _ in range(chance.randint(1, 25)):
        if chance.random() < 0.2 and all_of:
            gone = chance.choice(sorted(all_of))
            del all_of[gone]
            sketched.drop([gone])
        names = [chance.choice("abcde") for _ in range(chance.randint(0, 4))]
        values = [[chance.gauss(0, 10) for _ in range(chance.randint(1, 4))] for _ in names]
        window = np.repeat(np.arange(len(names)), [len(one) for one in values])
        sketched.add(names, sketch(window, np.array([v for one in values for v in one], float), len(names)))
        for name, one in zip(names, values, strict=True):
            all_of.setdefault(name, []).extend(one)
    assert len(sketched.number) <= 4 * max(len(sketched.numbers), 1) + 4
    for name in "abcde":
        found = sketched.quantile(name, 0.75)
        mine = np.array(all_of.get(name, []))
        if len(mine):
            assert found == quantiles(sketch(np.zeros(len(mine), np.int64), mine, 1), [0.75])[0, 0]
        else:
            assert math.isnan(found)
