"""Moments as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_AGO = re.compile(r"-(?P<count>\d+)(?P<unit>[smhd])")
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment(text: str, now: int) -> int:
    """Milliseconds since the epoch: `now`, `-90m` (s, m, h or d ago), a number of ms, or ISO 8601 (UTC without an offset).

    Raises ValueError that says what was expected.
    """
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return now - int(ago["count"]) * _UNITS_MS[ago["unit"]]
    if text.isdecimal():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"found {text!r}, expected 2026-11-25T12:00:00Z, -90m, now, or milliseconds") from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
