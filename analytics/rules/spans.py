"""Lengths of time as people write them: 90s, 5m, 2h, 7d."""

from __future__ import annotations

import re

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
MOST_MS = 30 * _UNITS_MS["d"]


def span_text(ms: int) -> str:
    """What `span_ms` reads as so many milliseconds: 1h30m."""
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        number, ms = divmod(ms, _UNITS_MS[unit])
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts) or "0s"


def span_ms(text: str) -> int:
    """Milliseconds; parts may follow each other (1h30m). Raises ValueError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration, expected for example 90s, 5m, 1h30m or 7d")
    found = round(sum(float(number) * _UNITS_MS[unit] for number, unit in parts))
    if found > MOST_MS:
        raise ValueError(f"{text!r} is longer than 30d")
    return found
