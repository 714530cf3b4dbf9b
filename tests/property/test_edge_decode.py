"""Decoding against a naive reader, on payloads of every kind."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_aggregator.decode.decoder import Taken, decode
from edge_aggregator.decode.tables import Limits, Tables
from edge_aggregator.names import Names
from edge_aggregator.receive.port import Message
from edge_aggregator.widths import Widths
from ingest.contract.topics import device_topic
from tests.edge_bench import SITE, T0

DAY_MS = 86_400_000
MAX_AGE_MS, TOLERANCE_MS = 30 * DAY_MS, 60_000

names = st.sampled_from(["a", "b", "c", "", "x" * 257, "temp °C", "\x00", "ts "])
numbers = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(), st.sampled_from([0, -0.0, 1e150, 1.1e150]))
values = st.one_of(numbers, numbers, st.booleans(), st.none(), st.text(max_size=3), st.lists(st.integers(), max_size=1))
times = st.one_of(
    st.integers(T0 - 10_000, T0 + 10_000), st.integers(-5, 2**64 - 1), st.sampled_from([True, "x", 1.5, float(T0)])
)
objects = st.builds(
    lambda ts, metrics, bare: (metrics if bare else {"metrics": metrics}) | ({} if ts is None else {"ts": ts}),
    st.none() | times,
    st.dictionaries(names, values, max_size=4),
    st.booleans(),
)
documents = st.one_of(objects, objects, st.lists(objects | st.integers(), max_size=3), st.text(max_size=3), st.none())
messages = st.lists(st.tuples(st.sampled_from(["d", "e"]), documents), max_size=8)


@settings(deadline=None)
@given(messages, st.integers(1, 6))
def test_decoding_equals_a_naive_reader(sent: list[tuple[str, Any]], rounds: int) -> None:
    dictionary = Names(Widths(10_000), max_devices=9, max_series=99)
    tables = Tables(SITE, dictionary, Limits(1 << 20, TOLERANCE_MS, MAX_AGE_MS))
    payloads = _messages(sent)
    for _ in range(
        rounds
    ):  # from the second round on the shapes are known, from the fifth on what is laid out is read directly
        decoded = decode([Taken(T0, payloads)], tables)
    good, bad = _naive(sent)
    found: Counter[tuple[str, str, float]] = Counter()
    for series, ts, value in zip(*(column.tolist() for column in decoded.samples), strict=True):
        assert 0 <= T0 - MAX_AGE_MS <= ts
        name = dictionary.series[series]
        found[dictionary.devices[name.device], name.metric, value] += 1
    assert found == good
    assert decoded.notes.rejected == {reason: count for reason, count in bad.items() if count}
    assert decoded.samples.series.tolist() == sorted(decoded.samples.series.tolist())


laid_out = st.builds(
    lambda ts, first, second, third, more: {"ts": ts, "metrics": {"a": first, "b": second, "c": third} | more},
    times,
    values,
    values,
    values,
    st.dictionaries(names, values, max_size=1),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["d", "e"]), laid_out | objects), min_size=1, max_size=8), st.booleans())
@example(sent=[("d", {"ts": (1 << 62) - 256, "metrics": {"a": 0, "b": None, "c": math.inf}})], known=False)
@example(sent=[("d", {"ts": (1 << 64) - 1, "metrics": {"a": 10**19, "b": 10**20, "c": math.inf}})], known=False)
def test_a_topic_read_by_its_layout_takes_and_refuses_as_any_other(
    sent: list[tuple[str, Any]],
    known: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    dictionary = Names(Widths(10_000), max_devices=9, max_series=99)
    tables = Tables(SITE, dictionary, Limits(1 << 20, TOLERANCE_MS, MAX_AGE_MS))
    usual = [("d", {"ts": T0, "metrics": {"a": 1, "b": 2.5, "c": -3}})] * (8 if known else 0)
    decode([Taken(T0, _messages(usual))], tables)
    assert bool(tables.ways) is known
    decoded = decode([Taken(T0, _messages(sent))], tables)
    good, bad = _naive(sent)
    assert len(decoded.samples.series) == good.total()
    assert sorted(decoded.samples.value.tolist()) == sorted(value for *_, value in good.elements())
    assert decoded.notes.rejected == {reason: count for reason, count in bad.items() if count}


def _messages(sent: list[tuple[str, Any]]) -> list[Message]:
    return [
        Message(device_topic(SITE, device, "telemetry"), json.dumps(d).encode(), retain=False) for device, d in sent
    ]


def _naive(sent: list[tuple[str, Any]]) -> tuple[Counter[tuple[str, str, float]], Counter[str]]:
    good: Counter[tuple[str, str, float]] = Counter()
    bad: Counter[str] = Counter()
    for device, document in sent:
        for item in document if isinstance(document, list) else [document]:
            if not isinstance(item, dict):
                bad["malformed"] += 1
                continue
            metrics = item["metrics"] if "metrics" in item else {k: v for k, v in item.items() if k != "ts"}
            for name, value in metrics.items():
                reason = _reason(item.get("ts", T0), name, value)
                if reason:
                    bad[reason] += 1
                else:
                    good[device, name, float(value)] += 1
    return good, bad


def _reason(ts: Any, name: str, value: Any) -> str | None:
    if isinstance(ts, bool) or not isinstance(ts, int | float) or ts != int(ts):
        return "bad_timestamp"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not_a_number"
    if not name or len(name) > 256 or not name.isprintable():
        return "bad_name"
    if ts < 0:
        return "bad_timestamp"
    if ts < T0 - MAX_AGE_MS:
        return "too_old"
    if not math.isfinite(value):
        return "not_finite"
    return "out_of_range" if abs(value) > 1e150 else None
