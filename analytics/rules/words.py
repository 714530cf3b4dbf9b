"""Texts with names in braces: `{device}`, `{value:.1f}`. Strict: a name that is not known is an error, never an empty text."""

from __future__ import annotations

import difflib
import re
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MOST_TEXT = 1000
_SPEC = re.compile(r",?(\.\d{1,2})?[fgde%]?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class WordsError(ValueError):
    """A text that cannot be filled in."""


def names_in(text: str) -> list[str]:
    """The names that a text mentions. Raises WordsError for what is no such text."""
    return [name for _, name, _ in _parts(text) if name]


def check_words(text: str, known: Collection[str]) -> None:
    """Raises WordsError for names that are not known; those of a series' own labels (`label_…`) may be."""
    for name in names_in(text):
        if name not in known and not name.startswith("label_"):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            raise WordsError(f"{{{name}}} is not known here; {hint}")


def fill_in(text: str, words: Mapping[str, str | float]) -> str:
    """The text with its names replaced. Raises WordsError."""
    return "".join(literal + _word(name, spec, words) for literal, name, spec in _parts(text))


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    if len(text) > MOST_TEXT:
        raise WordsError(f"the text has {len(text)} characters, expected at most {MOST_TEXT}")
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise WordsError(f"{text!r}: {error}; a brace that is meant is written twice") from error
    for literal, name, spec, conversion in parts:
        if name is None:
            yield literal, "", ""
            continue
        # No attributes, no indexes, no conversions: a text is no program.
        if not _NAME.fullmatch(name) or conversion or not _SPEC.fullmatch(spec or ""):
            raise WordsError(
                f"{{{name}{':' + spec if spec else ''}}}: expected a name like {{device}} or {{value:.1f}}"
            )
        yield literal, name, spec or ""


def _word(name: str, spec: str, words: Mapping[str, str | float]) -> str:
    if not name:
        return ""
    if name not in words:
        raise WordsError(f"{{{name}}} is not known")
    word = words[name]
    if isinstance(word, str):
        if spec:
            raise WordsError(f"{{{name}:{spec}}}: {name} is a text, not a number")
        return word
    return format(word, spec or ".6g")
