"""When a forecast's bound is reached, in numbers and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.contract.events import ConditionEvent

NEVER = "never"
_MINUTE = 60_000


def reaching(event: ConditionEvent) -> dict[str, float]:
    """`earliest_ms` and `latest_ms` (since the epoch); without `latest_ms` it may never be reached. Empty for other kinds."""
    ends = {"earliest_ms": event.earliest_at, "latest_ms": event.latest_at}
    return {name: float(at) for name, at in ends.items() if at is not None}


def reaching_words(numbers: Mapping[str, float]) -> dict[str, str]:
    """`earliest`, `latest` (`never` when nothing holds it) and `when`, to the minute and rather too wide; empty without numbers."""
    if "earliest_ms" not in numbers:
        return {}
    earliest, latest = _minute(int(numbers["earliest_ms"])), NEVER
    if "latest_ms" in numbers:
        latest = _minute(int(numbers["latest_ms"]) + _MINUTE - 1)
    when = f"not before {earliest}" if latest == NEVER else f"between {earliest} and {latest}"
    return {"earliest": earliest, "latest": latest, "when": when}


def _minute(at: int) -> str:
    return f"{rfc3339(at)[:16]}Z"
