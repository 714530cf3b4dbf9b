"""A file of rules: TOML tables `[[rules]]`, and what is wrong with them."""

from __future__ import annotations

import difflib
import tomllib
from typing import TYPE_CHECKING, Any

from analytics.rules.kinds import (
    Absence,
    Anomaly,
    Dark,
    Forecast,
    Gate,
    Incident,
    Ledger,
    Pipeline,
    Rate,
    Rule,
    Silence,
    Threshold,
)
from ingest.runtime.config import ConfigError, convert_config

if TYPE_CHECKING:
    from pathlib import Path

MOST_RULES = 1000

KINDS: dict[str, type[Rule]] = {
    kind.kind: kind
    for kind in (Threshold, Rate, Forecast, Absence, Silence, Anomaly, Incident, Gate, Ledger, Dark, Pipeline)
}


class RulesError(ConfigError):
    """A file of rules that cannot be used; one line for each mistake."""


def load_rules(path: Path, taken: frozenset[str] = frozenset()) -> list[Rule]:
    """The rules of a file; their names must not be among `taken`. Raises RulesError."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise RulesError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RulesError(f"{path}: found bytes that are not UTF-8, expected TOML") from error
    return parse_rules(text, str(path), taken)


def parse_rules(text: str, name: str, taken: frozenset[str] = frozenset()) -> list[Rule]:
    """The rules of a TOML text; `name` stands for it in errors, which are told all at once. Raises RulesError."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RulesError(f"{name}: not TOML: {error}") from error
    tables = tree.get("rules", [])
    if set(tree) - {"rules"} or not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise RulesError(f"{name}: expected tables [[rules]] and nothing else, found {', '.join(sorted(tree))}")
    if len(tables) > MOST_RULES:
        raise RulesError(f"{name}: found {len(tables)} rules, expected at most {MOST_RULES}")
    rules, mistakes = _read(tables, name)
    mistakes += [f"{name}: {text}" for text in _name_clashes(rules, taken)]
    if mistakes:
        raise RulesError("\n".join(mistakes))
    return rules


def _read(tables: list[dict[str, Any]], name: str) -> tuple[list[Rule], list[str]]:
    rules, mistakes = [], []
    for index, table in enumerate(tables):
        place = f"{name}: rules[{index}]" + (f" ({table['name']})" if isinstance(table.get("name"), str) else "")
        try:
            rules.append(_rule(dict(table), place))
        except ConfigError as error:
            mistakes.append(str(error))
    return rules, mistakes


def _rule(table: dict[str, Any], place: str) -> Rule:
    kind = table.pop("kind", None)
    if kind not in KINDS:
        close = difflib.get_close_matches(str(kind), KINDS, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise RulesError(f"{place}: kind: found {kind!r}, expected one of {', '.join(KINDS)}{hint}")
    return convert_config(table, KINDS[kind], place)


def _name_clashes(rules: list[Rule], taken: frozenset[str]) -> list[str]:
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    ours = sorted(set(names) & taken)
    return [f"more than one rule is called {name!r}" for name in twice] + [
        f"{name!r} is a rule that is always there; give yours another name" for name in ours
    ]
