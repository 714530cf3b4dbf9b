"""The API's book of incidents: the newest of each, bounded in bytes, what ended longest ago goes first."""

from __future__ import annotations

from typing import Any

import msgspec

from dashboards.api.incidents import IncidentBook
from ingest.contract.events import IncidentEvent, IncidentState
from tests.api_records import NOW, incident_record


def event(name: str = "inc-1", **fields: Any) -> IncidentEvent:
    return msgspec.json.decode(incident_record(name, **fields).value or b"", type=IncidentEvent)


def test_the_newest_change_counts_in_whatever_order_changes_come() -> None:
    book = IncidentBook(1 << 20)
    assert book.put(event(number=3, state=IncidentState.RESOLVED)) == "taken"
    assert book.put(event(number=2)) == "stale"
    assert book.get("inc-1") == event(number=3, state=IncidentState.RESOLVED)
    assert book.get("inc-2") is None


def test_those_that_go_on_come_first_and_places_are_looked_for_among_the_affected() -> None:
    book = IncidentBook(1 << 20)
    book.put(event("over", state=IncidentState.RESOLVED, at=NOW + 9))
    book.put(event("old", at=NOW))
    book.put(event("new", at=NOW + 1, affected=[]))
    assert [one.incident for one in book.list(None, "", "", 9)] == ["new", "old", "over"]
    assert [one.incident for one in book.list(None, "north", "pump-2", 9)] == ["old", "over"]
    assert [one.incident for one in book.list(IncidentState.RESOLVED, "", "pump-1", 9)] == ["over"]
    assert book.list(None, "south", "", 9) == book.list(None, "north", "pump-3", 9) == []
    assert all(one.affected == [] for one in book.list(None, "", "", 9))
    assert [one.incident for one in book.list(None, "", "", 1)] == ["new"]


def test_beyond_its_bytes_what_ended_longest_ago_makes_room() -> None:
    size = len(msgspec.msgpack.encode(event("open-0")))
    book = IncidentBook(size * 20)
    for number in range(10):
        book.put(event(f"open-{number}"))
    for number in range(40):
        book.put(event(f"over-{number}", state=IncidentState.RESOLVED, at=NOW + number))
    names = set(book.names())
    assert {f"open-{number}" for number in range(10)} <= names
    assert "over-39" in names
    assert "over-0" not in names
    assert book.remove("over-39")
    assert not book.remove("over-39")
