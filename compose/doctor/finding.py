"""What was looked at, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"  # it runs, and may lose what somebody believes to be safe
    BAD = "bad"  # it does not run


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; `remedy` is empty when there is nothing to do."""

    level: Level
    about: str
    found: str
    remedy: str = ""


def good(about: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(level=Level.GOOD, about=about, found=found)


def warning(about: str, found: str, remedy: str) -> Finding:
    """It runs all the same."""
    return Finding(level=Level.WARNING, about=about, found=found, remedy=remedy)


def bad(about: str, found: str, remedy: str) -> Finding:
    """It does not run like this."""
    return Finding(level=Level.BAD, about=about, found=found, remedy=remedy)
