"""The quick bound of a record's size never lies below the size itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.records import Outgoing
from ingest.runtime.log.limits import MAX_RECORD_BYTES, check_sizes, most_size, record_size
from ingest.runtime.log.port import RecordTooLargeError

headers = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=40)), max_size=8).map(tuple)
records = st.builds(
    Outgoing,
    topic=st.just("t"),
    key=st.binary(max_size=40),
    value=st.none() | st.binary(max_size=100),
    headers=headers,
)


@given(records)
def test_the_bound_is_no_less_than_the_size(record: Outgoing) -> None:
    naive = 128 + len(record.key) + len(record.value or b"")
    naive += sum(10 + len(name.encode("utf-8", "surrogatepass")) + len(value) for name, value in record.headers)
    assert record_size(record) == naive <= most_size(record)


@pytest.mark.parametrize("over", [0, 1])
def test_what_only_the_bound_finds_too_large_is_taken(over: int) -> None:
    empty = Outgoing("t", b"", b"", (("h", b"x" * 100_000),))
    record = Outgoing("t", b"", b"v" * (MAX_RECORD_BYTES - record_size(empty) + over), empty.headers)
    assert most_size(record) > MAX_RECORD_BYTES
    if over:
        with pytest.raises(RecordTooLargeError):
            check_sizes([record])
    else:
        check_sizes([record])
