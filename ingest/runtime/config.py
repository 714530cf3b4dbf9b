"""Configuration from TOML: every error names its path, what was found, what was expected, and what was perhaps meant."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T", bound=msgspec.Struct)


class ConfigError(ValueError):
    """A configuration that cannot be used; the text is for the person who wrote it."""


def load_config(path: Path, kind: type[T]) -> T:
    """Read and validate a TOML file. Raises ConfigError."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: found bytes that are not UTF-8, expected TOML") from error
    return parse_config(text, kind, str(path))


def parse_config(text: str, kind: type[T], name: str) -> T:
    """Validate TOML text; `name` stands for it in errors. Raises ConfigError."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{name}: not TOML: {error}") from error
    return convert_config(tree, kind, name)


def convert_config(tree: dict[str, Any], kind: type[T], name: str) -> T:
    """Validate a table that was read; `name` stands for it in errors. Raises ConfigError."""
    endless = next(_not_finite(tree, ""), None)
    if endless:
        raise ConfigError(f"{name}: {endless}")
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_explain(str(error), tree, kind)}") from error


_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")
_CHOICE = re.compile(r"^Invalid enum value")


def _not_finite(value: Any, path: str) -> Iterator[str]:
    # TOML has nan and inf; as a limit or a duration they are never meant.
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{path}: found {value}, expected a finite number"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _not_finite(inner, _join(path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, f"{path}[{index}]")


def _explain(message: str, tree: dict[str, Any], kind: type[msgspec.Struct]) -> str:
    match = _PLACE.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    if unknown := _UNKNOWN.search(what):
        return _explain_unknown(unknown["field"], path, kind)
    if missing := _MISSING.search(what):
        return f"{_join(path, missing['field'])}: missing; `tidegate config init` prints an example"
    found = _found(tree, path)
    if _CHOICE.match(what):
        return f"{path}: found {found}, {_choices(found, _type_at(kind, path))}"
    return f"{path or 'top level'}: {what}" + (f" (found: {found})" if found else "")


def _explain_unknown(field: str, path: str, kind: type[msgspec.Struct]) -> str:
    here = _type_at(kind, path)
    siblings = [known.encode_name for known in getattr(here, "fields", ())]
    close = difflib.get_close_matches(field, siblings, n=1)
    if close:
        return f"{_join(path, field)}: unknown setting; did you mean `{close[0]}`?"
    # A setting is often right but in the wrong table.
    elsewhere = dict(_settings(msgspec.inspect.type_info(kind), ""))
    close = difflib.get_close_matches(field, elsewhere.values(), n=1, cutoff=0.8)
    places = [place for place, name in elsewhere.items() if close and name == close[0]]
    all_of_them = f"there are {', '.join(siblings)}" if siblings else "`tidegate config init` prints every setting"
    hint = f"did you mean `{places[0]}`?" if places else all_of_them
    return f"{_join(path, field)}: unknown setting; {hint}"


def _choices(found: str, info: Any) -> str:
    choices = [str(value) for value in getattr(info, "values", ())]
    choices = choices or [str(member.value) for member in getattr(info, "cls", ())]
    close = difflib.get_close_matches(found.strip("'"), choices, n=1)
    expected = f"expected one of {', '.join(choices)}"
    return f"{expected}; did you mean `{close[0]}`?" if close else expected


def _settings(info: Any, path: str) -> Iterator[tuple[str, str]]:
    struct = _plain(info)
    for field in getattr(struct, "fields", ()):
        place = _join(path, field.encode_name)
        yield place, field.encode_name
        inner = _plain(field.type)
        yield from _settings(getattr(inner, "item_type", inner), place)


def _type_at(kind: type[msgspec.Struct], path: str) -> Any:
    info: Any = msgspec.inspect.type_info(kind)
    for name, index in _steps(path):
        struct = _plain(info)
        if index or name == "...":
            info = getattr(struct, "item_type", None) or getattr(struct, "value_type", None)
        else:
            info = next((f.type for f in getattr(struct, "fields", ()) if f.encode_name == name), None)
    return _plain(info)


def _plain(info: Any) -> Any:
    # "X or nothing" is X where a setting is looked for.
    if not isinstance(info, msgspec.inspect.UnionType):
        return info
    return next((one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)), info)


def _steps(path: str) -> list[tuple[str, str]]:
    return re.findall(r"([^.\[\]]+|\.\.\.)|\[(\d+)\]", path)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _found(tree: Any, path: str) -> str:
    value = tree
    for name, index in _steps(path):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            return ""
    return "" if isinstance(value, dict | list) else repr(value)[:80]
