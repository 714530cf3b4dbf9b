"""Decisions follow from the batches alone: not from what comes later, from restarts, or from how windows are packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Decision, Engine
from analytics.pair_index import MISSING
from analytics.series import SeriesTable
from tests.detect_fleet import Fleet, run
from tests.examples import examples
from tests.rollup_batches import ORIGIN, T0, Row, make_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIG = DetectConfig(continues_s=3.0)
FLEET = Fleet(12, ("load", "uptime"), hardware=("rev-a", "rev-b"))
WINDOWS = 90


def _history(seed: int) -> NDArray[np.float64]:
    """Noise, some of it missing, with a few climbs and falls: (windows, devices, metrics)."""
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 1, (WINDOWS, 12, 2))
    values[:, :, 1] = np.arange(WINDOWS)[:, None] + rng.random(12)
    values[40:55, 3, 0] += np.arange(15) * 5
    values[60:, 4, 0] += 40
    values[50:, 5, 1] -= 50
    values[rng.random(values.shape) < 0.03] = np.nan
    return values


def _decide(engine: Engine, values: NDArray[np.float64], first: int = 0) -> list[Decision]:
    return run(engine, FLEET.batches(values, first))


@settings(max_examples=examples(5), deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(1, WINDOWS - 1))
def test_what_is_decided_does_not_depend_on_what_comes_later(seed: int, cut: int) -> None:
    values = _history(seed)
    whole, prefix = _decide(Engine(CONFIG), values), _decide(Engine(CONFIG), values[:cut])
    end = T0 + cut * FLEET.width
    assert prefix == [decision for decision in whole if decision.at <= end]


@settings(max_examples=examples(8), deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(1, WINDOWS - 1))
def test_a_restart_continues_bit_for_bit(seed: int, cut: int) -> None:
    values = _history(seed)
    straight = Engine(CONFIG)
    expected = _decide(straight, values)
    before, after = Engine(CONFIG), Engine(CONFIG)
    found = _decide(before, values[:cut])
    after.load(before.dump())
    found += _decide(after, values[cut:], cut)
    assert found == expected
    assert len(expected) > 0
    assert after.dump() == straight.dump()


@settings(max_examples=examples(5), deadline=None)
@given(seed=st.integers(0, 1000), packed=st.integers(2, 7))
def test_windows_packed_into_one_batch_are_taken_in_order(seed: int, packed: int) -> None:
    values = _history(seed)[:, :, 0]
    one_by_one, together = Engine(CONFIG), Engine(CONFIG)
    fleet = Fleet(12, ("load",))
    expected = run(one_by_one, fleet.batches(values))
    found: list[Decision] = []
    for first in range(0, WINDOWS, packed):
        rows = [
            Row(f"d{device}", "load", start=T0 + window * 1000, width=1000, values=(float(values[window, device]),))
            for window in reversed(range(first, min(first + packed, WINDOWS)))
            for device in range(12)
            if not np.isnan(values[window, device])
        ]
        found += together.step(make_batch(rows))
    assert [_of(decision) for decision in found] == [_of(decision) for decision in expected]


def _of(decision: Decision) -> tuple[object, ...]:
    return decision.device.device, decision.change, decision.at, decision.value, decision.tail_probability


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), unique=True, max_size=12), max_size=12),
    st.integers(1, 12),
)
def test_the_series_table_is_a_dictionary_with_a_bound(steps: list[list[tuple[int, int]]], most: int) -> None:
    table = SeriesTable(most, forget_after_ms=2000)
    known: dict[tuple[int, int], tuple[int, int]] = {}  # pair to (its number, the window it was last heard in)
    for window, pairs in enumerate(steps):
        rows = [Row(f"d{d}", f"m{m}", start=T0 + window * 1000, width=1000, values=(1.0,)) for d, m in pairs]
        series = table.resolve(make_batch(rows)).series.tolist()
        taken = {pair: number for pair, number in zip(pairs, series, strict=True) if number != MISSING}
        table.columns["last_end"][list(taken.values())] = T0 + (window + 1) * 1000
        assert len(set(taken.values())) == len(taken)
        lately = {pair: number for pair, (number, heard) in known.items() if heard >= window - 2}
        assert lately.items() >= {(pair, taken[pair]) for pair in lately.keys() & taken.keys()}
        assert lately.keys() & set(pairs) <= taken.keys()
        assert len(table) <= most
        assert len(taken) == len(pairs) or len(table) == most
        assert max(len(table.devices.names), len(table.metrics.names)) <= most + 10
        known = {pair: place for pair, place in known.items() if place[0] not in taken.values()}
        known |= {pair: (number, window) for pair, number in taken.items()}


@settings(max_examples=examples(40), deadline=None)
@given(
    steps=st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12), most=st.integers(1, 12), turns=st.booleans()
)
def test_what_a_gateway_named_before_is_found_as_if_it_were_named_anew(
    *, steps: list[set[int]], most: int, turns: bool
) -> None:
    table = SeriesTable(most, forget_after_ms=2000)
    for window, places in enumerate(steps):
        pairs = [(device, metric) for device in range(4) for metric in range(3)]
        if turns and window % 4 == 3:
            pairs.reverse()
        rows = [Row(f"d{d}", f"m{m}", start=T0 + window * 1000, width=1000, values=(1.0,)) for d, m in pairs]
        whole = make_batch(rows)
        columns = {name: column[sorted(places)] for name, column in whole.columns.items()}
        batch = msgspec.structs.replace(whole, columns=columns)
        anew = SeriesTable(most, forget_after_ms=2000)
        anew.load(table.dump())
        found, expected = table.resolve(batch), anew.resolve(batch)
        named = np.unique(batch.column("device"))
        np.testing.assert_array_equal(found.series, expected.series)
        np.testing.assert_array_equal(found.devices[named], expected.devices[named])
        assert table.dump() == anew.dump()
        table.columns["last_end"][found.series[found.series != MISSING]] = T0 + (window + 1) * 1000


def test_who_is_silent_at_first_is_numbered_beside_the_others() -> None:
    fleet, table = Fleet(40, ("a", "b")), SeriesTable(1000, forget_after_ms=1000)
    values = np.zeros((40, 2))
    values[7], values[9, 1] = np.nan, np.nan
    first = table.resolve(fleet.batch(values, 0))
    table.resolve(fleet.batch(np.zeros((40, 2)), 0, origin=ORIGIN._replace(site="south")))
    second = table.resolve(fleet.batch(np.zeros((40, 2)), 1))
    assert 7 in first.fresh
    assert not second.fresh.size
    assert sorted(second.series.tolist()) == list(range(80))
    assert set(first.series.tolist()) < set(second.series.tolist())
    assert len(table) == 160


def test_of_tables_of_which_many_are_silent_only_who_speaks_is_numbered() -> None:
    fleet, table = Fleet(40, ("a", "b")), SeriesTable(1000, forget_after_ms=1000)
    values = np.zeros((40, 2))
    values[::4] = np.nan
    assert (table.resolve(fleet.batch(values, 0)).devices[::4] == MISSING).all()
    assert len(table) == 60


def test_a_tenant_that_has_as_much_as_it_may_takes_no_room_of_others() -> None:
    table, other = SeriesTable(100, forget_after_ms=1000, max_of_tenant=60), ORIGIN._replace(tenant="other")
    assert (table.resolve(Fleet(80).batch(np.zeros((80, 1)), 0)).series == MISSING).sum() == 20
    assert (table.resolve(Fleet(40).batch(np.zeros((40, 1)), 0, origin=other)).series != MISSING).all()
    kept = SeriesTable(100, forget_after_ms=1000, max_of_tenant=60)
    kept.load(table.dump())
    for one in (table, kept):
        again = one.resolve(Fleet(80).batch(np.zeros((80, 1)), 10)).series
        assert (again == MISSING).sum() == 20
        assert (one.resolve(Fleet(40).batch(np.zeros((40, 1)), 10, origin=other)).series != MISSING).all()


def test_for_want_of_a_tenants_room_its_own_silent_series_make_some() -> None:
    table, other = SeriesTable(100, forget_after_ms=1000, max_of_tenant=50), ORIGIN._replace(tenant="other")
    for origin in (ORIGIN, other):
        table.resolve(Fleet(50).batch(np.zeros((50, 1)), 0, origin=origin))
    table.columns["last_end"][:100] = T0
    renamed = Fleet(20, ("new",)).batch(np.zeros((20, 1)), 100)
    assert (table.resolve(renamed).series != MISSING).all()
    assert len(table) == 100 - 20 + 20
    assert (table.resolve(Fleet(50).batch(np.zeros((50, 1)), 100, origin=other)).series != MISSING).all()
