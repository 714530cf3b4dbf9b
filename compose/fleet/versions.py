"""Which of two versions is the older one: dotted numbers, as in Semantic Versioning 2.0 (section 11)."""

from __future__ import annotations

import re

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")


def is_older(version: str, than: str) -> bool:
    """Whether `version` comes before `than`; names that are no dotted numbers have no order."""
    first, second = _VERSION.fullmatch(version), _VERSION.fullmatch(than)
    return first is not None and second is not None and _rank(first) < _rank(second)


def _rank(version: re.Match[str]) -> tuple[list[int], bool, list[tuple[bool, int, str]]]:
    numbers = [int(part) for part in version[1].split(".")]
    while numbers and numbers[-1] == 0:  # 2.0 and 2 are one
        numbers.pop()
    before = version[2] or ""
    return numbers, not before, [_identifier(part) for part in before.split(".")]


def _identifier(part: str) -> tuple[bool, int, str]:
    return (False, int(part), "") if part.isdigit() else (True, 0, part)
