"""The part of Prometheus' query language that gates need: `vector(number)` and instant selectors."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from dashboards.api.regex import Matcher, PatternError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_QUERY = 2000
NAME_LABEL = "__name__"

_SPACE = re.compile(r"\s*")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OPERATOR = re.compile(r"=~|!~|!=|=")
_STRING = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)""")
_VECTOR = re.compile(r"vector\s*\(\s*([^()\s]{1,40})\s*\)\s*\Z")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip


class BadQueryError(ValueError):
    """A query that is not answered; the text says why."""


class Constant(NamedTuple):
    """`vector(value)`: one sample without labels."""

    value: float


class LabelMatcher(NamedTuple):
    """One condition on a label; a label that is missing counts as empty, as in Prometheus."""

    label: str
    operator: str
    text: str
    accepts: Callable[[str], bool]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels is wanted."""
        return self.accepts(labels.get(self.label, ""))


class Selector(NamedTuple):
    """All conditions on a series, the one on its name among them."""

    matchers: tuple[LabelMatcher, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels (its name as `__name__`) is wanted."""
        return all(matcher.matches(labels) for matcher in self.matchers)

    def exact(self, label: str) -> str | None:
        """The one value that `label` can have, or None."""
        return next((m.text for m in self.matchers if m.label == label and m.operator == "=" and m.text), None)


def parse_query(query: str) -> Constant | Selector:
    """Raises BadQueryError for whatever is neither `vector(number)` nor an instant selector."""
    if len(query) > MAX_QUERY:
        raise BadQueryError(f"the query has {len(query)} characters, at most {MAX_QUERY} are taken")
    text = query.strip()
    constant = _VECTOR.match(text)
    return Constant(_number(constant.group(1))) if constant else _Parser(text).selector()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadQueryError(f"vector({text}): expected a number") from None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def selector(self) -> Selector:
        name = self._take(_METRIC)
        matchers = [_matcher(NAME_LABEL, "=", name)] if name else []
        if self._symbol("{"):
            matchers += self._matchers()
        if self._at < len(self._text):
            self._fail('only vector(number) and selectors such as name{label="value"} are answered')
        if all(matcher.accepts("") for matcher in matchers):
            self._fail("a selector needs a condition that an empty label does not meet")
        return Selector(tuple(matchers))

    def _matchers(self) -> list[LabelMatcher]:
        matchers = []
        while not self._symbol("}"):
            matchers.append(self._one())
            if not self._symbol(","):
                if not self._symbol("}"):
                    self._fail("expected , or }")
                break
        return matchers

    def _one(self) -> LabelMatcher:
        label = self._take(_LABEL) or self._fail("expected a label")
        operator = self._take(_OPERATOR) or self._fail("expected = != =~ or !~")
        quoted = self._take(_STRING) or self._fail("expected a quoted value")
        return _matcher(label, operator, _unquote(quoted))

    def _take(self, token: re.Pattern[str]) -> str:
        self._skip()
        found = token.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        self._skip()
        return found.group()

    def _symbol(self, symbol: str) -> bool:
        self._skip()
        if not self._text.startswith(symbol, self._at):
            return False
        self._at += 1
        self._skip()
        return True

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _fail(self, what: str) -> NoReturn:
        raise BadQueryError(f"{what}, at position {self._at} of {self._text[:200]!r}")


def _matcher(label: str, operator: str, text: str) -> LabelMatcher:
    return LabelMatcher(label, operator, text, _condition(operator, text))


def _condition(operator: str, text: str) -> Callable[[str], bool]:
    if operator == "=":
        return lambda value: value == text
    if operator == "!=":
        return lambda value: value != text
    try:
        pattern = Matcher(text)
    except PatternError as error:
        raise BadQueryError(str(error)) from error
    if operator == "=~":
        return pattern.matches
    return lambda value: not pattern.matches(value)


def _unquote(quoted: str) -> str:
    inner = quoted[1:-1]
    return inner if quoted[0] == "`" else _ESCAPE.sub(_unescape, inner)


def _unescape(escape: re.Match[str]) -> str:
    code = escape.group(1)
    if code in _SIMPLE:
        return _SIMPLE[code]
    if len(code) == 1:
        raise BadQueryError(f"unknown escape \\{code}")
    point = int(code, 8) if code.isdigit() and len(code) == 3 else int(code[1:], 16)  # noqa: PLR2004 - \NNN
    if point > 0x10FFFF:  # noqa: PLR2004 - Unicode's last code point
        raise BadQueryError(f"escape \\{code} is beyond Unicode")
    return chr(point)


def format_value(value: float) -> str:
    """A sample's value as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e21 else repr(value)  # noqa: PLR2004 - Go's limit
