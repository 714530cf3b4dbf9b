"""Events as records: they come back as they were, later releases' fields are passed over, and nonsense is no event."""

from __future__ import annotations

import enum
import types
import typing
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract import events
from ingest.contract.events.maintenance import LONGEST_S, WEEKDAYS, Hours
from ingest.contract.records import (
    DETAIL_HEADER,
    LATEST_MS,
    ORIGIN_OFFSET_HEADER,
    ORIGIN_TOPIC_HEADER,
    REASON_HEADER,
    TRACE_HEADER,
    Outgoing,
    Record,
    TopicPartition,
    cloud_event_headers,
    dead_letter,
    event_record,
    read_event,
    rfc3339,
)
from tests.examples import examples

KINDS = sorted(
    (
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    ),
    key=lambda kind: kind.__name__,
)
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    int: INTEGERS,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
    Hours: st.builds(
        Hours,
        begins=st.times().map(lambda time: time.strftime("%H:%M")),
        lasts_s=st.floats(1e-3, LONGEST_S),
        timezone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]),
        days=st.lists(st.sampled_from(WEEKDAYS), min_size=1),
    ),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """A strategy for a field's type."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return bounded(*arguments)
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=3)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if origin in (typing.Union, types.UnionType):
        return st.one_of([st.none() if part is type(None) else values_of(part) for part in arguments])
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    return structs_of(kind)


def bounded(kind: Any, bounds: msgspec.Meta) -> st.SearchStrategy[Any]:
    """Of what a field allows: whole numbers and lists."""
    if kind is int:
        return st.integers(bounds.ge, bounds.le)
    return st.lists(values_of(*typing.get_args(kind)), min_size=bounds.min_length or 0, max_size=3)


def structs_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values_of(hint) for name, hint in hints.items()})


def as_read(sent: Outgoing) -> Record:
    return Record(sent.topic, 0, 0, sent.key, sent.value, sent.headers, 1)


def record_of(event: msgspec.Struct) -> Record:
    return as_read(event_record("topic", "key", event, event_id="id", source="source", time=1))


def test_there_are_events() -> None:
    assert {"DeviceEvent", "AlertEvent", "RolloutPlan", "Verdict", "AckEvent"} <= {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=examples(20))
@given(data=st.data())
def test_an_event_comes_back(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    event = data.draw(structs_of(kind))
    assert read_event(record_of(event), kind) == event


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=examples(20))
@given(data=st.data())
def test_what_a_later_release_adds_is_passed_over(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    event = data.draw(structs_of(kind))
    fields = msgspec.json.decode(msgspec.json.encode(event))
    longer = [*fields, {"x": [1]}] if isinstance(fields, list) else {**fields, "later": {"x": [1]}}
    later = msgspec.structs.replace(record_of(event), value=msgspec.json.encode(longer))
    assert read_event(later, kind) == event


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"\xff",
        b"\x00" * 9,
        b"[" * 100_000,
        b'{"tenant":1,"later":{',
        b'{"a":"\\ud800"}',
    ],
)
def test_nonsense_is_no_event(kind: type[msgspec.Struct], value: bytes | None) -> None:
    assert read_event(Record("topic", 0, 0, b"", value, (), 1), kind) is None


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_no_event(value: bytes) -> None:
    assert read_event(Record("topic", 0, 0, b"", value, (), 1), events.DeviceEvent) is None


def test_an_event_is_a_cloud_event() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ack = events.AckEvent(
        tenant="t", site="s", gateway="g", device="d", command="c", status=events.AckStatus.DONE, at=5
    )
    sent = event_record(
        "rollout.acks.v1", "s", ack, event_id="g/c/done", source="tidegate/s/g", time=1_500, trace=trace
    )
    assert sent.key == b"s"
    assert dict(sent.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"g/c/done",
        "ce_source": b"tidegate/s/g",
        "ce_type": b"tidegate.rollout.acks.v1",
        "ce_time": b"1970-01-01T00:00:01.500Z",
        "content-type": b"application/json",
        TRACE_HEADER: trace.encode(),
    }


def test_hours_that_a_later_release_knows_and_this_one_does_not_are_not_heeded() -> None:
    hours = {"begins": "02:00", "lasts_s": 60, "days": ["mon"]}
    window = {"id": "w", "tenant": "t", "matchers": [], "hours": hours, "by": "ada", "at": 1}
    for given_hours, is_read in (
        (hours, True),
        (hours | {"every": "2nd"}, False),
        (hours | {"days": ["lundi"]}, False),
    ):
        record = Record("topic", 0, 0, b"", msgspec.json.encode(window | {"hours": given_hours}), (), 1)
        assert (read_event(record, events.MaintenanceWindow) is not None) is is_read


def test_without_a_trace_there_is_no_trace_header() -> None:
    headers = cloud_event_headers(event_id="i", source="s", event_type="t", time=0, content_type="c", trace=None)
    assert TRACE_HEADER not in dict(headers)


@given(INTEGERS)
def test_any_time_can_be_written(ms: int) -> None:
    text = rfc3339(ms)
    assert len(text) == len("1970-01-01T00:00:00.000Z")
    assert text.endswith("Z")


def test_times_beyond_the_calendar_are_held_at_its_ends() -> None:
    assert rfc3339(-5) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(LATEST_MS) == rfc3339(1 << 60) == "9999-12-31T23:59:59.999Z"
    assert rfc3339(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"


@given(st.lists(st.integers(0, LATEST_MS), min_size=2, max_size=2))
def test_written_times_sort_as_times_do(pair: list[int]) -> None:
    assert (rfc3339(pair[0]) < rfc3339(pair[1])) == (pair[0] < pair[1])


def test_a_dead_letter_keeps_everything_and_says_why() -> None:
    record = Record("topic", 3, 42, b"key", b"value", (("tidegate_key", b"k"), ("x", b"\xff")), 9)
    letter = dead_letter(record, "bad_value", "row 1: \u00f6", "topic.dead")
    assert (letter.topic, letter.key, letter.value) == ("topic.dead", b"key", b"value")
    assert letter.headers == (
        *record.headers,
        (REASON_HEADER, b"bad_value"),
        (DETAIL_HEADER, "row 1: \u00f6".encode()),
        (ORIGIN_TOPIC_HEADER, b"topic"),
        (ORIGIN_OFFSET_HEADER, b"3:42"),
    )


def test_of_several_headers_the_first_counts() -> None:
    record = Record("t", 1, 2, b"", None, (("a", b"1"), ("a", b"2")), 3)
    assert record.header("a") == b"1"
    assert record.header("b") is None
    assert record.topic_partition == TopicPartition("t", 1)


def test_a_change_of_an_alert_has_one_key_however_often_it_is_delivered() -> None:
    @given(structs_of(events.AlertEvent), structs_of(events.AlertEvent))
    def check(one: events.AlertEvent, other: events.AlertEvent) -> None:
        change, another = [(it.fingerprint, it.starts_at, it.state, it.revision) for it in (one, other)]
        assert change != another or one.idempotency_key() == other.idempotency_key()
        later = msgspec.structs.replace(one, changed_at=one.changed_at ^ 1, annotations={})
        assert later.idempotency_key() == one.idempotency_key()

    check()
