"""The dictionary of series in few bytes: what a plain dictionary would say, whatever is put in, removed and put in again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_aggregator import series_names
from edge_aggregator.names import Names, SeriesName
from edge_aggregator.series_names import UNKNOWN, SeriesIndex
from edge_aggregator.widths import Widths

keys = st.tuples(st.integers(0, 3), st.integers(0, 3))
names = st.builds(
    SeriesName, st.integers(0, 2), st.sampled_from(["a", "b", "c"]), st.sampled_from([(), (("axis", "x"),)])
)


@given(st.lists(st.tuples(st.sampled_from(["put", "remove"]), keys), max_size=60), st.integers(0, 5))
def test_ids_are_found_as_in_a_dictionary(story: list[tuple[str, tuple[int, int]]], most_fresh: int) -> None:
    index, oracle = SeriesIndex(), dict[tuple[int, int], int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series_names, "_MOST_FRESH", most_fresh)
        for number, (act, key) in enumerate(story):
            if act == "remove" and key in oracle:
                index.remove([oracle.pop(key)])
            elif act == "put" and key not in oracle:
                index.put(*key, number)
                oracle[key] = number
            found = {(device, metric): index.find(device, metric) for device in range(4) for metric in range(4)}
            assert {key: series for key, series in found.items() if series is not None} == oracle


def test_the_greatest_ids_do_not_meet() -> None:
    index = SeriesIndex()
    corners = [(device, metric) for device in (0, 1, (1 << 20) - 1) for metric in (0, 1, (1 << 32) - 1)]
    for number, key in enumerate(corners):
        index.put(*key, number)
    assert [index.find(*key) for key in corners] == list(range(len(corners)))


@given(st.lists(st.tuples(st.booleans(), names), max_size=40))
def test_names_are_what_was_given_until_they_are_forgotten(story: list[tuple[bool, SeriesName]]) -> None:
    dictionary = Names(Widths(10_000, ()), max_devices=9, max_series=99)
    for device in range(3):
        dictionary.define_device(device, f"d{device}")
    known: dict[SeriesName, int] = {}
    given_out = 0
    for forget, name in story:
        if forget:
            assert dictionary.forget_series([known[name]] if name in known else []) == [
                known[other] for other in [name] if other in known
            ]
            known.pop(name, None)
        else:
            found = dictionary.series_id(name)
            assert found == known.get(name, given_out)
            given_out += name not in known
            known[name] = found
        assert {name: dictionary.find_series(name) for name in known} == known
        by_id = {series: name for name, series in known.items()}
        assert list(dictionary.series) == [by_id.get(series, UNKNOWN) for series in range(given_out)]
        assert [dictionary.series[series] for series in range(given_out)] == list(dictionary.series)
