"""Regular expressions for label matchers, matched in time proportional to pattern times text.

The syntax is the part of RE2's that label matchers use: literals, `.`, classes, groups, `|`, `*`, `+`, `?`. Patterns come
from outside, and a backtracking engine can be made to run for ever by them; here a pattern becomes an automaton (K.
Thompson, "Regular expression search algorithm", 1968) whose sets of states are remembered as they are met.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_PATTERN = 200
REMEMBERED = 20_000
_SPECIAL = frozenset("*+?|()")
_CLASSES = {"d": r"\d", "D": r"\D", "w": r"\w", "W": r"\W", "s": r"\s", "S": r"\S"}


class PatternError(ValueError):
    """A pattern that is not of the supported syntax; the text says where and why."""


class _Edge(NamedTuple):
    accepts: re.Pattern[str] | None
    """One character; None is a step without one."""
    to: int


class _Piece(NamedTuple):
    start: int
    end: int


class Matcher:
    """A compiled pattern, anchored at both ends as Prometheus anchors it. Raises PatternError."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN:
            raise PatternError(f"the pattern has {len(pattern)} characters, at most {MAX_PATTERN} are taken")
        self._pattern, self._at = pattern, 0
        self._edges: list[list[_Edge]] = []
        whole = self._alternatives(depth=0)
        if self._at < len(pattern):
            raise self._error("unmatched )")
        self._final = whole.end
        self._first = self._closure({whole.start})
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        states = self._first
        for character in text:
            states = self._step(states, character)
            if not states:
                return False
        return self._final in states

    def _step(self, states: frozenset[int], character: str) -> frozenset[int]:
        known = self._steps.get((states, character))
        if known is None:
            edges = (edge for state in states for edge in self._edges[state] if edge.accepts)
            known = self._closure({edge.to for edge in edges if edge.accepts and edge.accepts.fullmatch(character)})
            if len(self._steps) < REMEMBERED:
                self._steps[states, character] = known
        return known

    def _closure(self, states: set[int]) -> frozenset[int]:
        todo = list(states)
        while todo:
            new = {edge.to for edge in self._edges[todo.pop()] if edge.accepts is None} - states
            states |= new
            todo.extend(new)
        return frozenset(states)

    def _alternatives(self, depth: int) -> _Piece:
        pieces = [self._sequence(depth)]
        while self._peek() == "|":
            self._at += 1
            pieces.append(self._sequence(depth))
        if len(pieces) == 1:
            return pieces[0]
        piece = _Piece(self._state(), self._state())
        for part in pieces:
            self._join(piece.start, part.start)
            self._join(part.end, piece.end)
        return piece

    def _sequence(self, depth: int) -> _Piece:
        start = end = self._state()
        while self._peek() not in ("", "|") and not (self._peek() == ")" and depth):
            part = self._repeated(depth)
            self._join(end, part.start)
            end = part.end
        return _Piece(start, end)

    def _repeated(self, depth: int) -> _Piece:
        part = self._single(depth)
        sign = self._peek()
        if sign not in ("*", "+", "?"):
            return part
        self._at += 1
        if self._peek() in ("*", "+", "?"):
            raise self._error("a repetition of a repetition")
        piece = _Piece(self._state(), self._state())
        self._join(piece.start, part.start)
        self._join(part.end, piece.end)
        if sign in "*+":
            self._join(part.end, part.start)
        if sign in "*?":
            self._join(piece.start, piece.end)
        return piece

    def _single(self, depth: int) -> _Piece:
        sign = self._peek()
        if sign == "(":
            return self._group(depth)
        if sign in _SPECIAL:
            raise self._error(f"unexpected {sign}")
        if sign in "{}^$":
            raise self._error(f"{sign} is not supported; write \\{sign} for the character")
        return self._character(self._class() if sign == "[" else self._literal())

    def _group(self, depth: int) -> _Piece:
        self._at += 1
        if self._pattern.startswith("?:", self._at):
            self._at += 2
        inner = self._alternatives(depth + 1)
        if self._peek() != ")":
            raise self._error("a group without its )")
        self._at += 1
        return inner

    def _literal(self) -> str:
        sign = self._peek()
        self._at += 1
        if sign == ".":
            return "."
        if sign != "\\":
            return re.escape(sign)
        escaped = self._peek()
        self._at += 1
        if escaped in _CLASSES:
            return _CLASSES[escaped]
        if not escaped or escaped.isalnum():
            raise self._error(f"\\{escaped} is not supported")
        return re.escape(escaped)

    def _class(self) -> str:
        found = re.compile(r"\[\^?\]?(?:\\.|[^\]\\\[])*\]").match(self._pattern, self._at)
        if found is None:
            raise self._error("a class without its ]")
        if any(pair in found.group() for pair in ("--", "&&", "||", "~~")):
            raise self._error("a set operation in a class")
        self._at = found.end()
        return found.group()

    def _character(self, accepted: str) -> _Piece:
        piece = _Piece(self._state(), self._state())
        try:
            accepts = re.compile(accepted, re.DOTALL | re.ASCII)
        except re.error as error:
            raise self._error(f"bad class: {error.msg}") from error
        self._edges[piece.start].append(_Edge(accepts, piece.end))
        return piece

    def _join(self, start: int, end: int) -> None:
        self._edges[start].append(_Edge(None, end))

    def _state(self) -> int:
        self._edges.append([])
        return len(self._edges) - 1

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _error(self, what: str) -> PatternError:
        return PatternError(f"{what} at position {self._at} of {self._pattern!r}")
