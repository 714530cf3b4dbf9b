"""Every form of telemetry, and a reason for everything that is not taken, without losing its neighbours."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from edge_aggregator.decode import dead_letters
from edge_aggregator.decode.decoded import AckMessage, Decoded, StateMessage
from edge_aggregator.decode.decoder import Taken, decode
from edge_aggregator.decode.tables import Limits, Tables
from edge_aggregator.names import Names
from edge_aggregator.receive.port import Message
from edge_aggregator.widths import Widths
from ingest.contract.topics import device_topic
from tests.edge_bench import SITE, T0, state, telemetry

DAY_MS = 86_400_000


class Decoder:
    """Tables that live as long as a test."""

    def __init__(self, *, max_series: int = 100, max_devices: int = 10, payload_bytes: int = 10_000) -> None:
        self.names = Names(Widths(10_000), max_devices=max_devices, max_series=max_series)
        self.tables = Tables(SITE, self.names, Limits(payload_bytes, 60_000, 30 * DAY_MS))

    def __call__(self, *messages: Message, at: int = T0, oversized: tuple[str, ...] = ()) -> Decoded:
        return decode([Taken(at, messages, oversized)], self.tables)

    def samples(self, decoded: Decoded) -> list[tuple[str, str, int, float]]:
        found = []
        for series, ts, value in zip(*(column.tolist() for column in decoded.samples), strict=True):
            name = self.names.series[series]
            found.append((self.names.devices[name.device], name.metric, ts, value))
        return found


@pytest.mark.parametrize("times", [1, 2], ids=["the first message of its shape", "a message of a known shape"])
@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"ts": T0, "metrics": {"t": 1.5, "n": 2}}, [("t", T0, 1.5), ("n", T0, 2.0)]),
        ([{"ts": T0, "metrics": {"t": 1}}, {"ts": T0 + 1, "metrics": {"t": 2}}], [("t", T0, 1.0), ("t", T0 + 1, 2.0)]),
        ({"t": 1.5, "n": 2}, [("t", T0 + 5, 1.5), ("n", T0 + 5, 2.0)]),
        ({"ts": float(T0), "metrics": {"t": 1}}, [("t", T0, 1.0)]),
        ({"ts": T0, "t": 1}, [("t", T0, 1.0)]),
        ({"metrics": {"t": 1}}, [("t", T0 + 5, 1.0)]),
        ({"ts": T0, "metrics": {}}, []),
        ([], []),
        ({"ts": T0, "metrics": {"t": -0.0}}, [("t", T0, 0.0)]),
        ({"ts": T0, "metrics": {"t": 18446744073709551615}}, [("t", T0, 18446744073709551615.0)]),
    ],
)
def test_the_forms_of_the_contract(document: Any, expected: list[tuple[str, int, float]], times: int) -> None:
    decoder = Decoder()
    for number in range(times):
        decoded = decoder(telemetry("d", document), at=T0 + 5 + number * 1000)
    later = (times - 1) * 1000
    moved = [(metric, ts + later if ts == T0 + 5 else ts, value) for metric, ts, value in expected]
    assert decoder.samples(decoded) == [("d", *sample) for sample in moved]
    assert not np.signbit(decoded.samples.value).any()
    assert decoded.notes.rejected == {}
    assert decoded.notes.heard == [0]


@pytest.mark.parametrize("known", [False, True], ids=["new shape", "known shape"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"12.5"', "not_a_number"),
        ("true", "not_a_number"),
        ("null", "not_a_number"),
        ("[1]", "not_a_number"),
        ('{"a": 1}', "not_a_number"),
        ("NaN", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e999", "not_finite"),
        ("1e151", "out_of_range"),
        ("-1e151", "out_of_range"),
        ("1" + "0" * 400, "not_finite"),
    ],
)
def test_a_bad_value_is_refused_and_its_neighbours_are_kept(value: str, reason: str, *, known: bool) -> None:
    decoder = Decoder()
    if known:
        decoder(telemetry("d", {"ts": T0, "metrics": {"a": 0, "bad": 0, "b": 0}}))
    payload = f'{{"ts": {T0}, "metrics": {{"a": 1, "bad": {value}, "b": 2}}}}'.encode()
    decoded = decoder(telemetry("d", payload), telemetry("e", {"ts": T0, "metrics": {"a": 3}}))
    assert sorted(decoder.samples(decoded)) == [("d", "a", T0, 1.0), ("d", "b", T0, 2.0), ("e", "a", T0, 3.0)]
    assert decoded.notes.rejected == {reason: 1}
    assert decoded.received() == 4
    [letter] = decoded.notes.dead
    assert (letter.payload, letter.reason) == (payload, reason)


@pytest.mark.parametrize(
    ("payload", "reason", "count"),
    [
        (b"", "malformed", 1),
        (b"{", "malformed", 1),
        (b"\xff\xfe", "malformed", 1),
        (b"12", "malformed", 1),
        (b'"text"', "malformed", 1),
        (b"[1, 2]", "malformed", 2),
        (b"[" * 5000, "malformed", 1),
        (b'{"NaN": ' * 900, "malformed", 1),
        (b'{"ts": "now", "metrics": {"a": 1, "b": 2}}', "bad_timestamp", 2),
        (b'{"ts": true, "metrics": {"a": 1}}', "bad_timestamp", 1),
        (b'{"ts": 1.5, "metrics": {"a": 1}}', "bad_timestamp", 1),
        (b'{"ts": -1, "metrics": {"a": 1, "b": 2}}', "bad_timestamp", 2),
        (b'{"ts": 1e300, "metrics": {"a": 1}}', "bad_timestamp", 1),
        (b'{"ts": 0, "metrics": {"a": 1}}', "too_old", 1),
        (b'{"ts": 1700000000, "metrics": {"a": 1}}', "too_old", 1),
        (b'{"": 1}', "bad_name", 1),
        (b'{"a\\u0000b": 1}', "bad_name", 1),
        (b'{"' + b"x" * 257 + b'": 1}', "bad_name", 1),
        (b" " * 10_001, "too_large", 1),
    ],
)
def test_bad_payloads_are_counted_and_kept(payload: bytes, reason: str, count: int) -> None:
    decoded = Decoder()(telemetry("d", payload))
    assert decoded.notes.rejected == {reason: count}
    assert decoded.received() == count
    assert [letter.reason for letter in decoded.notes.dead[:1]] == [reason]


@pytest.mark.parametrize(
    ("topic", "rejected", "events"),
    [
        ("tidegate/v1/elsewhere/d/telemetry", {"foreign_site": 1}, {}),
        ("tidegate/v1/elsewhere/d/state", {}, {"foreign_site": 1}),
        ("tidegate/v1/site-1/d/other", {"unknown_topic": 1}, {}),
        ("tidegate/v1/site-1/d e/telemetry", {"unknown_topic": 1}, {}),
        ("$SYS/broker/uptime", {"unknown_topic": 1}, {}),
        ("tidegate/v1/site-1/d/command", {}, {}),
    ],
)
def test_topics_that_are_not_ours(topic: str, rejected: dict[str, int], events: dict[str, int]) -> None:
    decoder = Decoder()
    decoded = decoder(Message(topic, b'{"a": 1}', retain=False))
    assert (decoded.notes.rejected, decoded.notes.events_rejected) == (rejected, events)
    assert decoder.names.devices == []


def test_what_the_receiver_skipped_is_counted() -> None:
    topics = ("tidegate/v1/site-1/d/telemetry", "tidegate/v1/site-1/d/state")
    decoded = Decoder()(oversized=topics)
    assert (decoded.notes.rejected, decoded.notes.events_rejected) == ({"too_large": 1}, {"too_large": 1})


def test_the_future_is_held_to_the_arrival() -> None:
    decoder = Decoder()
    document = [{"ts": T0 + 60_000 + ahead, "metrics": {"t": ahead}} for ahead in (0, 1, 10**15)]
    decoded = decoder(telemetry("d", document), telemetry("d", {"ts": 2**64 - 1, "metrics": {"t": 7}}))
    assert decoder.samples(decoded) == [
        ("d", "t", T0 + 60_000, 0.0),
        ("d", "t", T0, 1.0),
        ("d", "t", T0 + 1, 1e15),
        ("d", "t", T0 + 2, 7.0),
    ]
    assert decoded.notes.skewed == 3


def test_what_has_no_timestamp_is_told_apart() -> None:
    decoder = Decoder()
    decoded = decoder(*(telemetry("d", {"t": number}) for number in range(3)))
    assert decoder.samples(decoded) == [("d", "t", T0 + number, float(number)) for number in range(3)]


def test_limits_of_the_dictionary() -> None:
    decoder = Decoder(max_series=2, max_devices=2)
    decoded = decoder(
        telemetry("d", {"ts": T0, "metrics": {"a": 1, "b": 2, "c": 3}}),
        telemetry("e", {"ts": T0, "metrics": {"a": 1}}),
        telemetry("f", {"ts": T0, "metrics": {"a": 1}}),
        state("f"),
    )
    assert decoder.samples(decoded) == [("d", "a", T0, 1.0), ("d", "b", T0, 2.0)]
    assert decoded.notes.rejected == {"too_many_series": 3}
    assert decoded.notes.events_rejected == {"too_many_devices": 1}


def test_texts_make_no_series() -> None:
    decoder = Decoder()
    decoder(telemetry("d", {"name": "pump", "t": 1}))
    assert [name.metric for name in decoder.names.series] == ["t"]


def test_states_and_answers_become_events() -> None:
    answer = Message(
        device_topic(SITE, "d", "ack"), b'{"command": "c1", "status": "done", "firmware": "2"}', retain=False
    )
    said = state("d", retain=True, firmware="1.0", hardware="b", group="g", boot=7, extra=1, tags=["eu", "a", "eu"])
    decoded = Decoder()(said, answer)
    assert decoded.notes.messages == [
        StateMessage(0, T0, True, "online", "1.0", "b", "g", "7", ["a", "eu"]),
        AckMessage(0, T0, "c1", "done", "2"),
    ]
    assert decoded.received() == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"[]",
        b'{"state": "asleep"}',
        b'{"state": "online", "firmware": "\\u0007"}',
        b'{"state": "online", "group": 1}',
        b'{"state": "online", "tags": "eu"}',
        b'{"state": "online", "tags": [""]}',
        b'{"state": "online", "tags": ["\\u0007"]}',
        b'{"state": "online", "tags": [' + b'"t",' * 32 + b'"t"]}',
    ],
)
def test_a_bad_state_is_counted_and_kept(payload: bytes) -> None:
    decoded = Decoder()(Message(device_topic(SITE, "d", "state"), payload, retain=False))
    assert decoded.notes.events_rejected == {"malformed": 1}
    assert decoded.notes.dead[0].payload == payload


def test_a_bad_tag_is_named() -> None:
    decoded = Decoder()(
        Message(device_topic(SITE, "d", "state"), b'{"state": "online", "tags": ["a", ""]}', retain=False)
    )
    assert "$.tags[1]" in decoded.notes.dead[0].detail


def test_a_retained_message_taken_back_says_nothing() -> None:
    decoded = Decoder()(Message(device_topic(SITE, "d", "state"), b"", retain=False))
    assert (decoded.notes.messages, decoded.notes.events_rejected) == ([], {})


def test_retained_telemetry_is_no_sign_of_life() -> None:
    decoder = Decoder()
    document = {"ts": T0, "metrics": {"t": 1}}
    for _ in range(2):
        decoded = decoder(telemetry("d", document, retain=True))
        assert decoder.samples(decoded) == [("d", "t", T0, 1.0)]
        assert decoded.notes.heard == []


def test_dead_letters_are_bounded() -> None:
    decoder = Decoder(payload_bytes=1_000_000)
    decoded = decoder(*(telemetry("d", b"x" * 100_000) for _ in range(10)))
    assert decoded.notes.rejected == {"malformed": 10}
    assert sum(len(letter.payload) for letter in decoded.notes.dead) <= dead_letters.MOST_BYTES
    assert len(decoder(*(telemetry("d", b"x") for _ in range(1000))).notes.dead) == dead_letters.MOST_LETTERS


def test_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_aggregator.decode.tables._MOST_SHAPE_IDS", 20)
    monkeypatch.setattr("edge_aggregator.decode.tables._MOST_PLACES", 5)
    decoder = Decoder(max_devices=1000, max_series=10_000)
    names = [f"m{number}" for number in range(6)]
    for number, pair in enumerate(itertools.permutations(names, 3)):
        decoded = decoder(telemetry(f"d{number % 50}", {"ts": T0, "metrics": dict.fromkeys(pair, number)}))
        assert len(decoded.samples.series) == 3
        assert sum(len(shape.series) for shape in decoder.tables.shapes.values()) <= 20
        assert len(decoder.tables._places) <= 5
